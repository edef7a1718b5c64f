// SPDX-License-Identifier: MIT
#include "race.hpp"
#include "machine.hpp"
#include "neighbours.hpp"

#include <cstdio>

#include <unistd.h>

namespace bench {
namespace {

constexpr std::size_t heed_samples = 9;
constexpr int runs_of_decode = 12;  // in each of them: a percentile of 99 needs a hundred runs
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

/// What was seen on so many threads.
class sightings {
public:
    void add(const bench_case& c, const ceilings& now)
    {
        (c.native ? bf16_peak_ : peak_).push_back(now.peak);
        bandwidth_.push_back(now.bandwidth);
        for (const int cpu : seats_.look()) cpus_.insert(cpu);
    }
    limits result() const { return {spread_of(peak_), spread_of(bf16_peak_), spread_of(bandwidth_), cpus_}; }

private:
    std::vector<double> peak_, bf16_peak_, bandwidth_;
    seats seats_;
    std::set<int> cpus_;
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
        racers.push_back({c, std::move(who), i.is_peer() ? samples_for(once, p.late()) : heed_samples, measurement(c)});
    }
    return racers;
}

row_results run_row(const suite_row& row, const progress& p, sightings& seen)
{
    row_results results{row, {}, {}, {}};
    std::vector<racer> racers = line_up(row, p, results.refused);
    if (row.problem.native) seen.add({}, measure_ceilings(row.problem.threads, false));  // the pictures' roof
    ceilings now = ceilings_of(row.problem);
    for (std::size_t round = 0; round < heed_samples; ++round)
        for (racer& r : racers) {
            if (!r.is_due(round)) continue;
            p.show(row, r.problem.impl);
            const bool latency = r.problem.phase == "decode" && r.problem.impl == "heed";
            r.measured.sample(r.who, now, latency && !p.late() ? runs_of_decode : 1);
            seen.add(r.problem, now);
            r.slower.push_back(r.measured.times().back() / racers.front().measured.times().back());
        }
    for (const racer& r : racers)
        results.entries.push_back({r.problem, r.who.description, r.measured.result(), spread_of(r.slower)});
    return results;
}

}  // namespace

const entry* row_results::best_rival() const
{
    const entry* best = nullptr;
    for (std::size_t i = 1; i < entries.size(); ++i)
        if (!best || entries[i].heed_is_faster.median < best->heed_is_faster.median) best = &entries[i];
    return best;
}

std::string doubt_about(const row_results& row)
{
    const entry& heed = row.entries.front();
    const bool decode = heed.problem.phase == "decode";
    const entry* const rival = row.best_rival();
    if (!decode && heed.result.of_peak.median > 1) return "more than the peak";
    const spread& own = decode ? heed.result.of_stream : heed.result.of_peak;
    return own.relative() > wide_spread || (rival && rival->heed_is_faster.relative() > wide_spread) ? "wide spread"
                                                                                                     : "";
}

table_results race(const std::vector<suite_row>& rows, const std::function<void(const row_results&)>& done)
{
    table_results results;
    std::map<int, sightings> seen;
    results.machine.load = system_load();
    const neighbours others;
    progress p(rows.size());
    for (const suite_row& row : rows) {
        p.next(row);
        const std::string wrong = refusal(implementations().front(), row.problem);
        results.rows.push_back(wrong.empty() ? run_row(row, p, seen[row.problem.threads])
                                             : row_results{row, {}, {}, wrong});
        p.hide();
        done(results.rows.back());
    }
    for (const auto& [threads, measured] : seen) results.by_threads[threads] = measured.result();
    results.machine.neighbours = others.busy_cpus();
    return results;
}

}  // namespace bench
