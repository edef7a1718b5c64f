// SPDX-License-Identifier: MIT
// heed-bench: how fast this CPU can attend, as fractions of what it can do at all.
//
//     heed-bench                             the suite, as Google Benchmark prints it
//     heed-bench --card                      six headline cases in a table, about 20 seconds
//     heed-bench --case=NAME                 any case by name (bench/cases.hpp), repeatable
//     heed-bench --benchmark_filter=decode   and every other option of Google Benchmark
#include "ceilings.hpp"
#include "contestants.hpp"

#include <benchmark/benchmark.h>

#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <thread>

namespace {

using namespace bench;

stream& memory()
{
    static stream s;
    return s;
}

std::string cpu_name()
{
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
    return "unknown CPU";
}

std::string compiler_name()
{
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

std::string fixed(double x, int digits)
{
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f", digits, x);
    return text;
}

/// The machine, in key and value.
std::vector<std::pair<std::string, std::string>> card()
{
    std::vector<std::pair<std::string, std::string>> lines{
        {"cpu", cpu_name() + ", " + std::to_string(std::thread::hardware_concurrency()) + " threads"},
        {"compiled for", heed::isa_name()},
        {"compiler", compiler_name()}};
    const int all = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    for (const int n : {1, all}) {
        if (n == all && all == 1 && lines.size() > 3) break;
        lines.push_back({"ceilings, " + std::to_string(n) + (n == 1 ? " thread" : " threads"),
                         fixed(fma_peak(n, 0.3), 0) + " GFLOP/s f32 FMA, " + fixed(memory().bandwidth(n, 0.3), 1) +
                             " GB/s read"});
    }
    return lines;
}

/// A case beside its ceilings: both are measured before and after, and the mean counts.
struct beside {
    int threads;
    double peak, bandwidth;

    explicit beside(int n) : threads(n), peak(fma_peak(n, 0.04)), bandwidth(memory().bandwidth(n, 0.04)) {}
    void again()
    {
        peak = (peak + fma_peak(threads, 0.04)) / 2;
        bandwidth = (bandwidth + memory().bandwidth(threads, 0.04)) / 2;
    }
};

void run_case(benchmark::State& state, const bench_case& c)
{
    const contestant who = make_contestant(c);
    who.run();
    beside ceilings(c.threads);
    double total = 0;
    for (auto _ : state) {
        const double start = seconds();
        who.run();
        const double t = seconds() - start;
        state.SetIterationTime(t);
        total += t;
    }
    ceilings.again();
    const double runs = static_cast<double>(state.iterations()), rate = c.flops() * runs / total * 1e-9,
                 kv = c.kv_bytes() * runs / total * 1e-9;
    state.counters["gflops"] = rate;
    state.counters["of_peak"] = rate / ceilings.peak;
    state.counters["kv_gbps"] = kv;
    state.counters["of_stream"] = kv / ceilings.bandwidth;
    state.SetLabel(who.description);
}

void add(const std::string& name)
{
    bench_case c;
    const std::string wrong = parse(name, c);
    if (!wrong.empty()) {
        std::cerr << "heed-bench: case " << name << ": " << wrong << "\n";
        std::exit(2);
    }
    benchmark::RegisterBenchmark(name.c_str(), run_case, c)->UseManualTime()->Unit(benchmark::kMillisecond);
}

void add_suite()
{
    for (const std::string mask : {"all", "causal"}) {
        for (const std::string n : {"softmax", "softpick", "softmax1", "softmax_sink", "sigmoid", "relu1", "relu2"})
            add("heed/prefill/" + n + "/f32/" + mask + "/b1_hq8_hkv8_sq2048_skv2048_d128/t1");
        add("eigen/prefill/softmax/f32/" + mask + "/b1_hq8_hkv8_sq2048_skv2048_d128/t1");
        add("heed/prefill/softmax/f32/" + mask + "/b1_hq8_hkv8_sq2048_skv2048_d128/t2");
        add("heed/prefill/softmax/f32/" + mask + "/b1_hq12_hkv12_sq1024_skv1024_d64/t1");
        add("eigen/prefill/softmax/f32/" + mask + "/b1_hq12_hkv12_sq1024_skv1024_d64/t1");
        add("heed/prefill/softmax/f32/" + mask + "/b1_hq8_hkv2_sq4096_skv4096_d128/t1");
    }
    add("heed/prefill/softmax/f32/all/b64_hq12_hkv12_sq128_skv128_d64/t1");
    add("eigen/prefill/softmax/f32/all/b64_hq12_hkv12_sq128_skv128_d64/t1");
    for (const std::string n : {"softmax", "softpick"})
        for (const std::string keys : {"4096", "32768"})
            for (const std::string threads : {"1", "2"})
                add("heed/decode/" + n + "/f32/all/b1_hq32_hkv8_sq1_skv" + keys + "_d128/t" + threads);
    add("eigen/decode/softmax/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1");
    for (const std::string dim : {"64", "128"})
        add("heed/decode/softmax/f32/all/b1_hq8_hkv8_sq1_skv32768_d" + dim + "/t1");
}

/// The headline cases in one readable table.
void print_card()
{
    std::printf("\n  %-46s %9s %9s %8s %7s %8s\n", "case (f32, 1 thread)", "time", "GFLOP/s", "of peak", "GB/s", "of read");
    const std::pair<const char*, const char*> cases[] = {
        {"prefill 2048 x 2048, 8 heads of 128, softmax", "heed/prefill/softmax/f32/all/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal", "heed/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, softpick", "heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, Eigen's GEMM + softmax", "eigen/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"decode over 32768 keys, 32/8 heads, softmax", "heed/decode/softmax/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
        {"  the same, softpick", "heed/decode/softpick/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
    };
    for (const auto& [title, name] : cases) {
        bench_case c;
        if (!parse(name, c).empty()) std::abort();
        const contestant who = make_contestant(c);
        who.run();
        beside ceilings(c.threads);
        std::vector<double> times;
        for (const double end = seconds() + 1.5; times.size() < 5 || seconds() < end;) {
            const double start = seconds();
            who.run();
            times.push_back(seconds() - start);
        }
        ceilings.again();
        std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
        const double t = times[times.size() / 2], rate = c.flops() / t * 1e-9, kv = c.kv_bytes() / t * 1e-9;
        std::printf("  %-46s %6.1f ms %9.1f %7.0f%%", title, t * 1e3, rate, 100 * rate / ceilings.peak);
        if (c.phase == "decode") std::printf(" %7.1f %7.0f%%\n", kv, 100 * kv / ceilings.bandwidth);
        else std::printf(" %7s %8s\n", "", "");
        std::fflush(stdout);
    }
    std::printf("\n  medians; peak and read bandwidth are measured again beside each case\n");
}

/// Google Benchmark's table under our own card, without its remark on how its library was built.
class reporter : public benchmark::ConsoleReporter {
public:
    reporter() : ConsoleReporter(OO_Tabular) {}
    bool ReportContext(const Context& context) override
    {
        name_field_width_ = context.name_field_width;
        return true;
    }
};

}  // namespace

int main(int argc, char** argv)
{
    std::vector<std::string> names;
    bool headline = false;
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        if (a.rfind("--case=", 0) == 0) names.push_back(a.substr(7));
        else if (a == "--card") headline = true;
        else argv[kept++] = argv[i];
    }
    argc = kept;
    for (const std::string& n : names) add(n);
    if (names.empty()) add_suite();

    bool json = false;
    for (int i = 1; i < argc; ++i) json = json || std::string(argv[i]) == "--benchmark_format=json";
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;

    std::ostream& where = json ? std::cerr : std::cout;
    where << "heed " HEED_VERSION_STRING "\n";
    for (const auto& [key, value] : card()) {
        where << "  " << key << std::string(24 - std::min<std::size_t>(key.size(), 23), ' ') << value << "\n";
        benchmark::AddCustomContext(key, value);
    }
    where.flush();
    if (headline) {
        print_card();
        return 0;
    }
    if (json) {
        benchmark::RunSpecifiedBenchmarks();
    } else {
        reporter console;
        benchmark::RunSpecifiedBenchmarks(&console);
    }
    return 0;
}
