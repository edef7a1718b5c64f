// SPDX-License-Identifier: MIT
// The runs of a case in samples of 30 ms or more, each between two measurements of its ceilings: what a neighbour on a
// shared machine takes for a while is missing on both sides of a sample's ratio. Medians over the samples count.
#pragma once

#include "ceilings.hpp"
#include "contestants.hpp"

#include <algorithm>
#include <vector>

namespace bench {

inline double median(std::vector<double> x)
{
    const auto middle = x.begin() + static_cast<std::ptrdiff_t>(x.size() / 2);
    std::nth_element(x.begin(), middle, x.end());
    return *middle;
}

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
    double time = 0, gflops = 0, of_peak = 0, kv_gbps = 0, of_stream = 0;  // seconds a run, GFLOP/s, 1, GB/s, 1
};

class measurement {
public:
    explicit measurement(const bench_case& c) : case_(c), flops_(c.flops()), kv_bytes_(c.kv_bytes()) {}

    void run(const contestant& who)
    {
        total_ += timed(who);
        ++runs_;
    }
    bool sample_is_full() const { return total_ >= 0.03; }
    bool sample_is_empty() const { return runs_ == 0; }

    /// Ends a sample that was taken between two measurements of the ceilings.
    void close(const ceilings& before, const ceilings& after)
    {
        const double t = total_ / runs_;
        time_.push_back(t);
        of_peak_.push_back(flops_ / t * 2e-9 / (before.peak + after.peak));
        of_stream_.push_back(kv_bytes_ / t * 2e-9 / (before.bandwidth + after.bandwidth));
        total_ = 0;
        runs_ = 0;
    }

    /// One whole sample. `now` are the ceilings before it, and then those after it.
    void sample(const contestant& who, ceilings& now)
    {
        do run(who);
        while (!sample_is_full());
        const ceilings before = now;
        now = ceilings_of(case_);
        close(before, now);
    }

    /// Seconds a run, by sample.
    const std::vector<double>& times() const { return time_; }

    numbers medians() const
    {
        const double t = median(time_);
        return {t, flops_ / t * 1e-9, median(of_peak_), kv_bytes_ / t * 1e-9, median(of_stream_)};
    }

private:
    bench_case case_;
    double flops_, kv_bytes_, total_ = 0;
    int runs_ = 0;
    std::vector<double> time_, of_peak_, of_stream_;
};

}  // namespace bench
