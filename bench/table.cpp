// SPDX-License-Identifier: MIT
#include "table.hpp"
#include "inputs.hpp"
#include "machine.hpp"

#include <unistd.h>

namespace bench {
namespace {

constexpr std::size_t heed_samples = 9;
/// How many samples a peer gets that takes so long a run. On a slower machine, where the suite is late, it gets fewer.
std::size_t samples_for(double run, bool late) { return run > 0.5 || late ? 3 : run > 0.1 ? 5 : heed_samples; }

class progress {
public:
    explicit progress(std::size_t rows) : rows_(rows), shown_(isatty(STDERR_FILENO) != 0), start_(seconds()) {}
    void next(const suite_row& row)
    {
        ++row_;
        expected_ += row.expected_seconds();
    }
    void show(const suite_row& row, const std::string& who) const
    {
        if (shown_)
            std::fprintf(stderr, "\r\033[K[%zu/%zu, %.0f s] %.54s: %s", row_, rows_, seconds() - start_,
                         row.title.c_str(), who.c_str());
    }
    void hide() const
    {
        if (shown_) std::fprintf(stderr, "\r\033[K");
    }
    bool late() const { return seconds() - start_ > expected_; }

private:
    std::size_t rows_, row_ = 0;
    bool shown_;
    double start_, expected_ = 0;
};

struct racer {
    bench_case problem;
    contestant who;
    std::size_t wanted;
    measurement measured;
    std::vector<double> slower{};  // than heed in the same round

    /// Few samples are spread over all rounds: a stall of the machine must not meet all of them.
    bool is_due(std::size_t round) const { return (round + 1) * wanted / heed_samples > round * wanted / heed_samples; }
};

/// Ceilings measured on so many threads.
class measured_ceilings {
public:
    void add(const bench_case& c, const ceilings& now)
    {
        (c.native ? bf16_peak_ : peak_).push_back(now.peak);
        bandwidth_.push_back(now.bandwidth);
    }
    limits medians() const { return {median(peak_), bf16_peak_.empty() ? 0 : median(bf16_peak_), median(bandwidth_)}; }

private:
    std::vector<double> peak_, bf16_peak_, bandwidth_;
};

/// heed and those who agree with it, each having run once.
std::vector<racer> line_up(const suite_row& row, const progress& p, std::vector<std::string>& refused)
{
    std::vector<racer> racers;
    std::vector<float> of_heed;
    for (const implementation& i : implementations()) {
        if (!takes_part(i, row)) continue;
        p.show(row, i.name);
        const bench_case c = parsed(name_for(i.name, row.problem));
        contestant who = i.make(c);
        const double once = timed(who);
        if (racers.empty()) {
            of_heed = who.output();
        } else if (const std::string wrong = disagreement(c, of_heed, who.output()); !wrong.empty()) {
            refused.push_back(i.name + " " + wrong);
            continue;
        }
        racers.push_back({c, std::move(who), i.is_peer ? samples_for(once, p.late()) : heed_samples, measurement(c)});
    }
    return racers;
}

row_results run_row(const suite_row& row, const progress& p, measured_ceilings& seen)
{
    row_results results{row, {}, {}};
    std::vector<racer> racers = line_up(row, p, results.refused);
    if (row.problem.native) seen.add({}, measure_ceilings(row.problem.threads, false));  // the pictures' roof
    ceilings now = ceilings_of(row.problem);
    for (std::size_t round = 0; round < heed_samples; ++round)
        for (racer& r : racers) {
            if (!r.is_due(round)) continue;
            p.show(row, r.problem.impl);
            r.measured.sample(r.who, now);
            seen.add(r.problem, now);
            r.slower.push_back(r.measured.times().back() / racers.front().measured.times().back());
        }
    for (const racer& r : racers)
        results.entries.push_back(
            {r.problem, r.who.description, r.slower.size(), r.measured.medians(), median(r.slower)});
    return results;
}

void print_row(const row_results& results, int width)
{
    const entry& heed = results.entries.front();
    const bool decode = heed.problem.phase == "decode";
    std::string title = "  " + results.row.title;
    if (const std::string found = planted(heed.problem); !found.empty()) title += ", " + found;
    const double ms = heed.result.time * 1e3;
    std::printf("%-*s %8.*f %8.1f", width, title.c_str(), ms < 10 ? 3 : ms < 100 ? 2 : 1, ms, heed.result.gflops);
    if (decode) std::printf(" %8s %7.1f %7.0f%%", "", heed.result.kv_gbps, 100 * heed.result.of_stream);
    else std::printf(" %7.0f%%", 100 * heed.result.of_peak);
    const entry* best = nullptr;
    for (std::size_t i = 1; i < results.entries.size(); ++i)
        if (!best || results.entries[i].heed_is_faster < best->heed_is_faster) best = &results.entries[i];
    const int digits =
        results.row.against == rivals::fused || results.row.against == rivals::dense ? 3 : 2;  // about a few percent
    const bool observed = results.row.against == rivals::observe;
    if (best)
        std::printf("%*s%5.*f x %s", decode ? 3 : 20, "", digits, best->heed_is_faster,
                    observed ? "attend" : best->problem.impl.c_str());
    std::printf("\n");
    for (const std::string& r : results.refused) std::printf("      refused: %s\n", r.c_str());
    std::fflush(stdout);
}

}  // namespace

table_results run_table(const std::vector<suite_row>& rows)
{
    table_results results;
    std::map<int, measured_ceilings> seen;
    progress p(rows.size());
    std::string section, said;
    std::size_t longest = 60;
    for (const suite_row& row : rows) longest = std::max(longest, row.title.size());
    const int width = static_cast<int>(longest) + 2;
    for (const suite_row& row : rows) {
        p.next(row);
        const std::string wrong = refusal(implementations().front(), row.problem);
        if (wrong.empty()) results.rows.push_back(run_row(row, p, seen[row.problem.threads]));
        p.hide();
        if (row.section != section) {
            std::printf("\n%-*s %8s %8s %8s %7s %8s   %s\n", width, row.section.c_str(), "ms", "GFLOP/s", "of peak",
                        "GB/s", "of read",
                        row.against == rivals::fused     ? "faster than fused"
                        : row.against == rivals::dense   ? "faster than in one piece"
                        : row.against == rivals::observe ? "with observe"
                                                         : "faster than the best peer");
            section = row.section;
            said.clear();
        }
        if (wrong.empty()) print_row(results.rows.back(), width);
        else if (wrong != said) std::printf("  left out: %s\n", wrong.c_str());  // once for all rows of the section
        said = wrong;
    }
    for (const auto& [threads, measured] : seen) results.by_threads[threads] = measured.medians();
    std::printf("\nmedians of heed, on one thread where nothing else is said; GB/s are of K and V, read once\n"
                "peak and read bandwidth are measured again between any two samples\n");
    return results;
}

}  // namespace bench
