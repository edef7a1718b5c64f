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

#if defined(__linux__)
#include <sched.h>
#endif

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

/// Threads that this process may run on: taskset counts.
int usable_threads()
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// The machine, in key and value.
std::vector<std::pair<std::string, std::string>> card()
{
    std::vector<std::pair<std::string, std::string>> lines{
        {"cpu",
         cpu_name() + ", " + std::to_string(usable_threads()) + (usable_threads() == 1 ? " thread" : " threads")},
        {"compiled for", heed::isa_name()},
        {"compiler", compiler_name()}};
    std::vector<int> counts{1};
    if (usable_threads() > 1) counts.push_back(usable_threads());
    for (const int n : counts) {
        lines.push_back(
            {"ceilings, " + std::to_string(n) + (n == 1 ? " thread" : " threads"),
             fixed(fma_peak(n, 0.3), 0) + " GFLOP/s f32 FMA, " + fixed(memory().bandwidth(n, 0.3), 1) + " GB/s read"});
    }
    return lines;
}

/// The runs of a case in samples of 30 ms or more, each between two measurements of its ceilings: what a neighbour on a
/// shared machine takes for a while is missing on both sides of a sample's ratio. Medians over the samples count.
class measurement {
public:
    explicit measurement(const bench_case& c) : case_(c) { calibrate(); }

    void run(const contestant& who)
    {
        const double start = seconds();
        who.run();
        total_ += seconds() - start;
        ++runs_;
    }
    bool sample_is_full() const { return total_ >= 0.03; }
    void close()
    {
        const double peak = peak_, bandwidth = bandwidth_, t = total_ / runs_;
        calibrate();
        time_.push_back(t);
        of_peak_.push_back(case_.flops() / t * 1e-9 / ((peak + peak_) / 2));
        of_stream_.push_back(case_.kv_bytes() / t * 1e-9 / ((bandwidth + bandwidth_) / 2));
        total_ = 0;
        runs_ = 0;
    }
    std::size_t samples() const { return time_.size(); }

    struct result {
        double time, gflops, of_peak, kv_gbps, of_stream;
    };
    result medians()
    {
        if (runs_) close();
        const double t = median(time_);
        return {t, case_.flops() / t * 1e-9, median(of_peak_), case_.kv_bytes() / t * 1e-9, median(of_stream_)};
    }

private:
    void calibrate()
    {
        peak_ = fma_peak(case_.threads, 0.015);
        bandwidth_ = memory().bandwidth(case_.threads, 0.02);
    }
    static double median(std::vector<double>& x)
    {
        const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
        std::nth_element(x.begin(), middle, x.end());
        return *middle;
    }

    bench_case case_;
    double peak_ = 0, bandwidth_ = 0, total_ = 0;
    int runs_ = 0;
    std::vector<double> time_, of_peak_, of_stream_;
};

void run_case(benchmark::State& state, const bench_case& c)
{
    const contestant who = make_contestant(c);
    who.run();
    measurement m(c);
    for (auto _ : state) {
        m.run(who);
        if (!m.sample_is_full()) continue;
        state.PauseTiming();
        m.close();
        state.ResumeTiming();
    }
    const measurement::result r = m.medians();
    state.counters["gflops"] = r.gflops;
    state.counters["of_peak"] = r.of_peak;
    state.counters["kv_gbps"] = r.kv_gbps;
    state.counters["of_stream"] = r.of_stream;
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
    benchmark::RegisterBenchmark(name.c_str(), run_case, c)->Unit(benchmark::kMillisecond);
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
    for (const std::string type : {"bf16", "f16"}) {
        add("heed/prefill/softmax/" + type + "/all/b1_hq8_hkv8_sq2048_skv2048_d128/t1");
        add("heed/decode/softmax/" + type + "/all/b1_hq32_hkv8_sq1_skv32768_d128/t1");
        add("heed/decode/softmax/" + type + "/all/b1_hq8_hkv8_sq1_skv32768_d128/t1");
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
    std::printf("\n  %-46s %9s %9s %8s %7s %8s\n", "case (f32, 1 thread)", "time", "GFLOP/s", "of peak", "GB/s",
                "of read");
    const std::pair<const char*, const char*> cases[] = {
        {"prefill 2048 x 2048, 8 heads of 128, softmax",
         "heed/prefill/softmax/f32/all/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal", "heed/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, softpick", "heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, Eigen's GEMM + softmax",
         "eigen/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"decode over 32768 keys, 32/8 heads, softmax",
         "heed/decode/softmax/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
        {"  the same, softpick", "heed/decode/softpick/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
    };
    for (const auto& [title, name] : cases) {
        bench_case c;
        if (!parse(name, c).empty()) std::abort();
        const contestant who = make_contestant(c);
        who.run();
        measurement m(c);
        while (m.samples() < 9) {
            m.run(who);
            if (m.sample_is_full()) m.close();
        }
        const measurement::result r = m.medians();
        std::printf("  %-46s %6.1f ms %9.1f %7.0f%%", title, r.time * 1e3, r.gflops, 100 * r.of_peak);
        if (c.phase == "decode") std::printf(" %7.1f %7.0f%%\n", r.kv_gbps, 100 * r.of_stream);
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
