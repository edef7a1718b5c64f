// SPDX-License-Identifier: MIT
// heed-bench: how fast this CPU can attend, as fractions of what it can do at all, and beside what others do.
//
//     heed-bench                             the suite, as Google Benchmark prints it
//     heed-bench --card                      six headline cases in a table, about 20 seconds
//     heed-bench --table [--rows=REGEX] [--json=FILE]
//                                            the suite against its peers in a table, about 4 minutes
//     heed-bench --case=NAME                 any case by name (bench/cases.hpp), repeatable; --table adds its peers
//     heed-bench --benchmark_filter=decode   and every other option of Google Benchmark
#include "headlines.hpp"
#include "inputs.hpp"
#include "machine.hpp"
#include "measurement.hpp"
#include "table.hpp"

#include <benchmark/benchmark.h>

#include <iostream>
#include <memory>
#include <regex>

namespace {

using namespace bench;

[[noreturn]] void fail(const std::string& why)
{
    std::cerr << "heed-bench: " << why << "\n";
    std::exit(2);
}

struct arguments {
    std::vector<std::string> cases;
    bool card = false, table = false;
    std::string rows, json;
};

/// Takes our own arguments out.
arguments read_arguments(int& argc, char** argv)
{
    arguments a;
    int kept = 1;
    for (int i = 1; i < argc; ++i) {
        const std::string text = argv[i];
        if (text.rfind("--case=", 0) == 0) a.cases.push_back(text.substr(7));
        else if (text.rfind("--rows=", 0) == 0) a.rows = text.substr(7);
        else if (text.rfind("--json=", 0) == 0) a.json = text.substr(7);
        else if (text == "--card") a.card = true;
        else if (text == "--table") a.table = true;
        else argv[kept++] = argv[i];
    }
    argc = kept;
    if (!a.table && !(a.rows.empty() && a.json.empty())) fail("--rows and --json belong to --table");
    return a;
}

bench_case checked(const std::string& name)
{
    bench_case c;
    std::string wrong = parse(name, c);
    if (wrong.empty()) implementation_of(c, wrong);
    if (!wrong.empty()) fail("case " + name + ": " + wrong);
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
    const numbers r = m.medians();
    state.counters["gflops"] = r.gflops;
    state.counters["of_peak"] = r.of_peak;
    state.counters["kv_gbps"] = r.kv_gbps;
    state.counters["of_stream"] = r.of_stream;
    const std::string found = planted(c);
    state.SetLabel(who.description + (found.empty() ? "" : "; " + found));
}

void add(const bench_case& c)
{
    benchmark::RegisterBenchmark(c.name.c_str(), run_case, c)->Unit(benchmark::kMillisecond);
}

void add_suite()
{
    for (const suite_row& row : standard_suite(this_machine().threads))
        for (const implementation& i : implementations())
            if (takes_part(i, row)) add(parsed(name_for(i.name, row.problem)));
}

/// The rows of a table: the named cases, or the suite's of which `rows` is found in heed's name.
std::vector<suite_row> chosen_rows(const arguments& a)
{
    std::vector<suite_row> rows;
    for (const std::string& name : a.cases) {
        const bench_case named = checked(name), heed = parsed(name_for("heed", named));
        const rivals against = rivals_like(named.impl);
        rows.push_back({against == rivals::peers ? "cases" : "cases, beside " + named.impl, heed.name.substr(5),
                        "case " + std::to_string(rows.size() + 1), heed, against});
    }
    if (rows.empty()) rows = standard_suite(this_machine().threads);
    try {
        const std::regex wanted(a.rows);
        std::erase_if(rows, [&](const suite_row& r) { return !std::regex_search(r.problem.name, wanted); });
    } catch (const std::regex_error& e) {
        fail("--rows=" + a.rows + " is no regular expression: " + e.what());
    }
    if (rows.empty()) fail("--rows=" + a.rows + " matches no row");
    return rows;
}

int print_table(const arguments& a, const std::vector<suite_row>& rows, std::FILE* json)
{
    const table_results results = run_table(rows);
    if (!write_json(results, json) || std::fclose(json) != 0) fail("could not write " + a.json);
    std::cout << "written: " << a.json << "\n";
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

}  // namespace

int main(int argc, char** argv)
{
    arguments a = read_arguments(argc, argv);
    std::vector<suite_row> rows;
    std::FILE* json_file = nullptr;
    if (a.table) {
        rows = chosen_rows(a);
        if (a.json.empty()) a.json = "heed-bench.json";
    } else {
        for (const std::string& n : a.cases) add(checked(n));
        if (a.cases.empty()) add_suite();
    }
    bool json = false;
    for (int i = 1; i < argc; ++i) json = json || std::string(argv[i]) == "--benchmark_format=json";
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    if (a.table && !(json_file = std::fopen(a.json.c_str(), "w"))) fail("can not write " + a.json);

    std::ostream& where = json ? std::cerr : std::cout;
    where << "heed " HEED_VERSION_STRING "\n";
    for (const auto& [key, value] : card()) {
        where << "  " << key << std::string(24 - std::min<std::size_t>(key.size(), 23), ' ') << value << "\n";
        benchmark::AddCustomContext(key, value);
    }
    where.flush();
    if (a.table) return print_table(a, rows, json_file);
    if (a.card) {
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
