// SPDX-License-Identifier: MIT
// The runs of a case in samples of 30 ms or more, each between two measurements of its ceilings: what a neighbour on a
// shared machine takes for a while is missing on both sides of a sample's ratio. Medians over the samples count, and
// their quartiles say what they are worth.
#pragma once

#include "ceilings.hpp"
#include "contestants.hpp"
#include "spread.hpp"

#include <vector>

namespace bench {

/// Seconds of one run.
inline double timed(const contestant& who)
{
    const double start = seconds();
    who.run();
    return seconds() - start;
}

/// Those that a case is measured by, at this moment.
inline ceilings ceilings_of(const bench_case& c) { return measure_ceilings(c.threads, c.native); }

struct numbers {
    spread time, of_peak, of_stream;  // seconds a run, 1, 1
    double gflops = 0, kv_gbps = 0;   // GFLOP/s, GB/s, by the median time
    double p50 = 0, p99 = 0;          // seconds, of single runs; where these are fewer than 100, p99 is the slowest
    std::size_t runs = 0;
};

class measurement {
public:
    explicit measurement(const bench_case& c) : case_(c), flops_(c.flops()), kv_bytes_(c.kv_bytes()) {}

    void run(const contestant& who)
    {
        const double t = timed(who);
        runs_.push_back(t);
        total_ += t;
        ++count_;
    }
    bool sample_is_full() const { return total_ >= 0.03; }
    bool sample_is_empty() const { return count_ == 0; }

    /// Ends a sample that was taken between two measurements of the ceilings.
    void close(const ceilings& before, const ceilings& after)
    {
        const double t = total_ / count_;
        time_.push_back(t);
        of_peak_.push_back(flops_ / t * 2e-9 / (before.peak + after.peak));
        of_stream_.push_back(kv_bytes_ / t * 2e-9 / (before.bandwidth + after.bandwidth));
        total_ = 0;
        count_ = 0;
    }

    /// One whole sample, of no less than so many runs where these take no more than 0.2 s. `now` are the ceilings
    /// before it, and then those after it.
    void sample(const contestant& who, ceilings& now, int least_runs = 1)
    {
        do run(who);
        while (!sample_is_full() || (count_ < least_runs && total_ < 0.2));
        const ceilings before = now;
        now = ceilings_of(case_);
        close(before, now);
    }

    /// Seconds a run, by sample.
    const std::vector<double>& times() const { return time_; }

    numbers result() const
    {
        numbers n;
        n.time = spread_of(time_), n.of_peak = spread_of(of_peak_), n.of_stream = spread_of(of_stream_);
        n.gflops = flops_ / n.time.median * 1e-9, n.kv_gbps = kv_bytes_ / n.time.median * 1e-9;
        n.p50 = spread_of(runs_).median, n.p99 = nearest_rank(runs_, 0.99), n.runs = runs_.size();
        return n;
    }

private:
    bench_case case_;
    double flops_, kv_bytes_, total_ = 0;
    int count_ = 0;  // of this sample
    std::vector<double> runs_, time_, of_peak_, of_stream_;
};

}  // namespace bench
