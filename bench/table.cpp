// SPDX-License-Identifier: MIT
#include "table.hpp"
#include "file.hpp"
#include "inputs.hpp"
#include "machine.hpp"
#include "neighbours.hpp"

#include <algorithm>
#include <cstdio>

namespace bench {
namespace {

std::string milliseconds(double seconds)
{
    const double ms = seconds * 1e3;
    return fixed(ms, ms < 10 ? 3 : ms < 100 ? 2 : 1);
}

/// "89 % ±1": half the distance of the quartiles, in points.
std::string percent(const spread& of)
{
    return fixed(100 * of.median, 0) + " % \u00b1" + fixed(50 * (of.high - of.low), 0);
}

/// Printed columns of a text in UTF-8.
int columns(const std::string& text)
{
    return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string right(const std::string& text, int width)
{
    return std::string(static_cast<std::size_t>(std::max(width - columns(text), 0)), ' ') + text;
}

std::string left(const std::string& text, int width)
{
    return text + std::string(static_cast<std::size_t>(std::max(width - columns(text), 0)), ' ');
}

/// "512-bit vectors" of a peer that has others than heed.
std::string other_vectors(const std::string& impl)
{
    for (const implementation& i : implementations())
        if (i.name == impl && i.is_peer())
            if (const int bits = i.about().vector_bits; bits > 0 && bits != vector_bits_of_heed())
                return ", " + std::to_string(bits) + "-bit vectors";
    return "";
}

class printer {
public:
    explicit printer(const std::vector<suite_row>& rows)
    {
        for (const suite_row& row : rows) {
            width_ = std::max(width_, static_cast<int>(row.title.size()) + 4);
            if (row.against != rivals::none) has_rivals_.insert(row.section);
        }
    }

    void row(const row_results& r)
    {
        if (r.row.section != section_) begin_section(r.row);
        if (!r.left_out.empty()) {
            if (r.left_out != said_) std::printf("  left out: %s\n", r.left_out.c_str());  // once for the section
            said_ = r.left_out;
        } else {
            numbers_of(r);
        }
        for (const std::string& refused : r.refused) std::printf("      refused: %s\n", refused.c_str());
        flush_output();
    }

private:
    void begin_section(const suite_row& row)
    {
        section_ = row.section;
        said_.clear();
        one_thread_.clear();
        std::printf("\n%s%9s%9s%17s%17s", left(section_, width_).c_str(), "ms", "p99 ms", "", "of its ceiling");
        if (has_rivals_.count(section_)) std::printf("   %s", rival_column(row.against).c_str());
        std::printf("\n");
    }

    void numbers_of(const row_results& r)
    {
        const entry& heed = r.entries.front();
        const numbers& n = heed.result;
        const bool decode = heed.problem.phase == "decode";
        std::string title = "  " + title_of(r);
        const std::string problem = heed.problem.name.substr(0, heed.problem.name.rfind('/'));
        if (heed.problem.threads == 1) one_thread_[problem] = n.time.median;
        else if (const auto one = one_thread_.find(problem); one != one_thread_.end())  // of a sweep
            title += ", " + fixed(one->second / n.time.median, 2) + " x as fast as one";
        std::printf("%s%s%s%s%s", left(title, width_).c_str(), right(milliseconds(n.time.median), 9).c_str(),
                    right(decode ? milliseconds(n.p99) : "", 9).c_str(),
                    right(decode ? fixed(n.kv_gbps, 1) + " GB/s   " : fixed(n.gflops, 1) + " GFLOP/s", 17).c_str(),
                    right(percent(decode ? n.of_stream : n.of_peak) + (decode ? " of read" : " of peak"), 20).c_str());
        const entry* const best = r.best_rival();
        const std::string doubt = doubt_about(r);
        std::string says;
        if (best) {
            const int digits = is_about_percents(r.row.against) ? 3 : 2;
            const spread& by = best->heed_is_faster;
            says = right(fixed(by.median, digits), 6) + " x " + left(name_of_rival(best->problem.impl), 8) +
                   right(fixed(by.low, digits), digits + 3) + " to " + fixed(by.high, digits) +
                   other_vectors(best->problem.impl);
        } else if (has_rivals_.count(r.row.section)) {
            says = "     -";
        }
        if (!doubt.empty()) says += (says.empty() ? "  ! " : "   ! ") + doubt;
        if (!says.empty()) std::printf("   %s", says.c_str());
        std::printf("\n");
    }

    int width_ = 56;
    std::set<std::string> has_rivals_;
    std::string section_, said_;
    std::map<std::string, double> one_thread_;  // seconds, by problem, in this section
};

/// "261 GFLOP/s f32 FMA (258 to 263)"
std::string ceiling(const spread& of, int digits, const std::string& what)
{
    return fixed(of.median, digits) + what + " (" + fixed(of.low, digits) + " to " + fixed(of.high, digits) + ")";
}

void print_foot(const table_results& results)
{
    std::printf("\nceilings, measured between any two samples: medians (quartiles)\n");
    for (const auto& [threads, c] : results.by_threads) {
        std::string says = ceiling(c.peak, 0, " GFLOP/s f32 FMA");
        if (c.bf16_peak.samples > 0) says += ", " + ceiling(c.bf16_peak, 0, " GFLOP/s bf16 dot products");
        says += ", " + ceiling(c.bandwidth, 1, " GB/s read");
        std::printf("  %-11s %s; threads sat on %s\n", thread_count(threads).c_str(), says.c_str(),
                    cpus_text(c.cpus).c_str());
    }
    std::printf("\nTimes, speeds and shares are medians of heed's samples, on one thread where nothing else is said; "
                "\u00b1 and\n"
                "\"to\" are quartiles. GB/s are of K and V, read once. p99 is of 100 single runs or more; of fewer, "
                "the slowest.\n");
    for (const std::string& peer : peers_not_built())
        std::printf("Not built in, and so not among the peers: %s.\n", peer.c_str());
    if (const std::string why = doubts_about(results); !why.empty()) std::printf("\nWARNING\n%s\n", why.c_str());
}

}  // namespace

std::string title_of(const row_results& r)
{
    const std::string found = r.entries.empty() ? "" : planted(r.entries.front().problem);
    return r.row.title + (found.empty() ? "" : ", " + found);
}

std::string doubts_about(const table_results& results)
{
    std::string says;
    const auto add = [&](const std::string& sentence) { says += (says.empty() ? "" : "\n") + sentence; };
    const disturbance& m = results.machine;
    if (m.load > 0.5) add("When this began, " + fixed(m.load, 1) + " processes were running (mean of a minute).");
    if (m.neighbours > 0.1) add("Others used " + fixed(m.neighbours, 2) + " of the CPUs that this process may run on.");
    std::map<std::string, int> rows;
    for (const row_results& r : results.rows)
        if (!r.entries.empty())
            if (const std::string doubt = doubt_about(r); !doubt.empty()) ++rows[doubt];
    for (const auto& [doubt, count] : rows)
        add(std::to_string(count) + (count == 1 ? " row" : " rows") + " marked \"! " + doubt + "\"" +
            (doubt == "wide spread" ? ": quartiles more than 20 % apart." : ": the clock changed meanwhile."));
    if (!says.empty()) add("Measure again on a quiet machine before you quote anything.");
    return says;
}

table_results run_table(const std::vector<suite_row>& rows)
{
    printer to(rows);
    const table_results results = race(rows, [&](const row_results& r) { to.row(r); });
    print_foot(results);
    flush_output();
    return results;
}

}  // namespace bench
