// SPDX-License-Identifier: MIT
// heed-bench: how fast this CPU can attend, as fractions of what it can do at all, and beside what others do.
// heed-bench --help says what it can be asked for.
#include "compare.hpp"
#include "file.hpp"
#include "headlines.hpp"
#include "inputs.hpp"
#include "machine.hpp"
#include "measurement.hpp"
#include "options.hpp"
#include "restart.hpp"
#include "table.hpp"

#include <benchmark/benchmark.h>

#include <iostream>
#include <memory>
#include <regex>

namespace {

using namespace bench;

bench_case checked(const std::string& name)
{
    bench_case c;
    std::string wrong = parse(name, c);
    if (wrong.empty())
        if (const double has = static_cast<double>(memory_bytes_of_machine()); has > 0 && c.memory_bytes() > has)
            wrong = "its tensors take " + fixed(c.memory_bytes() * 1e-9, 1) + " GB, and this machine has " +
                    fixed(has * 1e-9, 1);
    if (wrong.empty()) implementation_of(c, wrong);
    if (!wrong.empty()) throw failure("case " + name + ": " + wrong);
    return c;
}

std::string disagreement_with_heed(const bench_case& c, const contestant& who)
{
    if (c.impl == "heed") return "";
    const contestant heed = make_heed(c);
    heed.run();
    return disagreement(c, heed.output(), who.output());
}

bool all_agreed = true;

void run_case(benchmark::State& state, const bench_case& c)
{
    std::string wrong;
    const contestant who = implementation_of(c, wrong)->make(c);
    who.run();
    wrong = disagreement_with_heed(c, who);
    if (!wrong.empty()) {
        all_agreed = false;
        state.SkipWithError(wrong.c_str());
        return;
    }
    measurement m(c);
    ceilings now = ceilings_of(c);
    const auto close = [&] {
        const ceilings before = now;
        now = ceilings_of(c);
        m.close(before, now);
    };
    for (auto _ : state) {
        m.run(who);
        if (!m.sample_is_full()) continue;
        state.PauseTiming();
        close();
        state.ResumeTiming();
    }
    if (!m.sample_is_empty()) close();
    const numbers r = m.result();
    state.counters["gflops"] = r.gflops;
    state.counters["of_peak"] = r.of_peak.median;
    state.counters["kv_gbps"] = r.kv_gbps;
    state.counters["of_stream"] = r.of_stream.median;
    state.counters["p50_ms"] = r.p50 * 1e3;
    state.counters["p99_ms"] = r.p99 * 1e3;
    const std::string found = planted(c);
    state.SetLabel(who.description + (found.empty() ? "" : "; " + found));
}

void add(const bench_case& c)
{
    benchmark::RegisterBenchmark(c.name.c_str(), run_case, c)->Unit(benchmark::kMillisecond);
}

void add_cases(const options& o)
{
    for (const std::string& n : o.cases) add(checked(n));
    if (!o.cases.empty()) return;
    for (const suite_row& row : standard_suite(this_machine().threads))
        for (const implementation& i : implementations())
            if (takes_part(i, row)) add(parsed(name_for(i.name, row.problem)));
}

/// The rows of a table: the named cases, or the suite's or the sweep's of which `rows` is found in heed's name.
std::vector<suite_row> chosen_rows(const options& o)
{
    std::vector<suite_row> rows;
    for (const std::string& name : o.cases) {
        const bench_case named = checked(name), heed = parsed(name_for("heed", named));
        const rivals against = rivals_like(named.impl);
        rows.push_back({against == rivals::peers ? "cases" : "cases, beside " + named.impl, heed.name.substr(5),
                        "case " + std::to_string(rows.size() + 1), heed, against});
    }
    const int threads = this_machine().threads;
    if (rows.empty()) rows = o.what == options::task::sweep ? thread_sweep(threads) : standard_suite(threads);
    try {
        const std::regex wanted(o.rows);
        std::erase_if(rows, [&](const suite_row& r) { return !std::regex_search(r.problem.name, wanted); });
    } catch (const std::regex_error& e) {
        throw failure("--rows=" + o.rows + " is no regular expression: " + e.what());
    }
    if (rows.empty()) throw failure("--rows=" + o.rows + " matches no row");
    return rows;
}

int print_table(const options& o, const std::vector<suite_row>& rows)
{
    const table_results results = run_table(rows);
    write_whole(o.json, json_of(results));
    std::cout << "\nwritten: " << o.json;
    if (!o.csv.empty()) {
        write_whole(o.csv, csv_of(results));
        std::cout << ", " << o.csv;
    }
    std::cout << "\n";
    for (const row_results& r : results.rows)
        if (!r.refused.empty()) return 1;
    return 0;
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

void print_card(std::ostream& to)
{
    to << "heed " HEED_VERSION_STRING "\n";
    for (const auto& [key, value] : card()) {
        to << "  " << key << std::string(24 - std::min<std::size_t>(key.size(), 23), ' ') << value << "\n";
        benchmark::AddCustomContext(key, value);
    }
    to.flush();
}

int run(int argc, char** argv)
{
    const std::vector<char*> as_started(argv, argv + argc + 1);  // with the null behind the last
    options o = read_options(argc, argv);
    using task = options::task;
    if (o.what == task::help) {
        print_help();
        return 0;
    }
    if (o.what == task::compare) return print_comparison(o.before, o.after);

    const bool table = o.what == task::table || o.what == task::sweep;
    std::vector<suite_row> rows;
    if (table) rows = chosen_rows(o);
    else if (o.what == task::suite) add_cases(o);
    bool json = false;
    for (int i = 1; i < argc; ++i) json = json || std::string(argv[i]) == "--benchmark_format=json";
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    if (table) {
        if (o.json.empty()) o.json = o.what == task::sweep ? "heed-bench-threads.json" : "heed-bench.json";
        check_writable(o.json);
        if (!o.csv.empty()) check_writable(o.csv);
    }

    start_again_for_peers(const_cast<char**>(as_started.data()));
    print_card(json ? std::cerr : std::cout);
    if (table) return print_table(o, rows);
    if (o.what == task::card) {
        print_headlines();
        return 0;
    }
    if (json) {
        benchmark::RunSpecifiedBenchmarks();
    } else {
        reporter console;
        benchmark::RunSpecifiedBenchmarks(&console);
    }
    return all_agreed ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        check_output_is_open();
        const int status = run(argc, argv);
        flush_output();
        return status;
    } catch (const std::bad_alloc&) {
        std::cerr << "heed-bench: out of memory\n";
    } catch (const std::exception& e) {
        std::cerr << "heed-bench: " << e.what() << "\n";
    }
    return 2;
}
