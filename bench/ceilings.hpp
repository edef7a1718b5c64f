// SPDX-License-Identifier: MIT
// What the machine can do at all, measured in this process: multiply-adds a second, and bytes read a second from
// memory. Both for a number of threads at once. On a shared machine they drift, so they are measured beside each case.
#pragma once

#include <heed/engine/simd/bf16_pairs.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace bench {

inline double seconds()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Runs f(thread) on n threads, the caller among them.
template <class F>
void on_threads(int n, F f)
{
    std::vector<std::thread> others;
    for (int t = 1; t < n; ++t) others.emplace_back(f, t);
    f(0);
    for (auto& t : others) t.join();
}

/// Rate of step(acc), so many flops a lane, on n threads over `duration`, GFLOP/s: twelve independent chains hide the
/// latency of any current core. The mean and not the best moment: what a neighbour on a shared machine takes away, it
/// takes from the case as well.
template <class Step>
double rate_of(int n, double duration, int flops_a_lane, Step shared)
{
    std::vector<double> rate(static_cast<std::size_t>(n));
    on_threads(n, [&](int thread) {
        using V = heed::simd::vec<float>;
        constexpr int chains = 12, steps = 4096;
        V acc[chains];
        for (int i = 0; i < chains; ++i) acc[i] = V(static_cast<float>(i));
        const Step step = shared;  // its registers, a thread's own
        const double start = seconds();
        double flops = 0, now = start;
        for (; now < start + duration; now = seconds(), flops += 1.0 * flops_a_lane * chains * steps * V::lanes)
            for (int s = 0; s < steps; ++s) {
                HEED_UNROLL
                for (int i = 0; i < chains; ++i) step(acc[i]);
            }
        volatile float keep = 0;
        for (int i = 0; i < chains; ++i) keep = keep + heed::simd::sum_by_halves(acc[i]);
        rate[static_cast<std::size_t>(thread)] = 1e-9 * flops / (now - start);
    });
    double sum = 0;
    for (const double r : rate) sum += r;
    return sum;
}

/// f32 multiply-adds.
inline double fma_peak(int n, double duration)
{
    using V = heed::simd::vec<float>;
    const V a(0.999f), b(0.001f);
    return rate_of(n, duration, 2, [a, b](V& acc) HEED_INLINE_LAMBDA { acc = heed::fma(acc, a, b); });
}

/// Dot products of bf16 pairs, two products and two sums a lane; 0 where the build has none.
template <class Pair = heed::bf16_pair>
double bf16_dot_peak(int n, double duration)
{
    if constexpr (heed::simd::has_bf16_dots) {
        const heed::simd::vec<Pair> a(Pair{heed::bf16(0.5f), heed::bf16(-0.5f)}),
            b(Pair{heed::bf16(0.5f), heed::bf16(0.25f)});
        return rate_of(n, duration, 4,
                       [a, b](heed::simd::vec<float>& acc) HEED_INLINE_LAMBDA { heed::simd::accumulate(acc, a, b); });
    }
    return 0;
}

/// Reads a buffer beyond every cache, on and on and around; keeps it for the life of the process.
class stream {
public:
    /// Read bandwidth of n threads over about `duration`, GB/s: the better mean of one and of four streams a thread.
    /// Each goes on in its part of the buffer where it stopped, so that no cache holds what it reads.
    double bandwidth(int n, double duration)
    {
        const auto threads = static_cast<std::size_t>(n);
        const std::size_t chunks = std::max<std::size_t>(floats / threads / chunk, 1);
        if (next_.size() < threads) next_.resize(threads);
        double best = 0;
        for (const std::size_t streams : {std::size_t{1}, std::size_t{4}}) {
            std::vector<double> rate(threads);
            on_threads(n, [&](int thread) {
                const auto t = static_cast<std::size_t>(thread);
                const float* const own = data_.get() + t * chunks % (floats / chunk) * chunk;
                const double start = seconds();
                double bytes = 0, now = start;
                for (; now < start + duration / 2; now = seconds(), bytes += 4.0 * chunk) {
                    next_[t] = (next_[t] + 1) % chunks;
                    read(own + next_[t] * chunk, chunk, streams);
                }
                rate[t] = 1e-9 * bytes / (now - start);
            });
            double sum = 0;
            for (const double r : rate) sum += r;
            best = std::max(best, sum);
        }
        return best;
    }

private:
    static constexpr std::size_t floats = std::size_t{128} << 20, chunk = std::size_t{1} << 20;  // 512 MiB, 4 MiB
    std::vector<std::size_t> next_;                                                              // chunk, by thread

    static void read(const float* p, std::size_t n, std::size_t streams)
    {
        using V = heed::simd::vec<float>;
        V acc[8];
        for (V& a : acc) a = V(0);
        const std::size_t part = n / streams;
        for (std::size_t i = 0; i + 8 * V::lanes <= part; i += 8 * V::lanes)
            for (std::size_t s = 0; s < streams; ++s) {
                const float* q = p + s * part + i;
                HEED_UNROLL
                for (int j = 0; j < 8; ++j) acc[j] = acc[j] + heed::simd::load(q + j * V::lanes);
            }
        volatile float keep = 0;
        for (const V& a : acc) keep = keep + heed::simd::sum_by_halves(a);
    }

    struct filled {
        std::unique_ptr<float[]> data{new float[floats]};
        filled() { std::fill_n(data.get(), floats, 1.0f); }
        float* get() const { return data.get(); }
    };
    filled data_;
};

/// The one buffer of this process.
inline stream& memory()
{
    static stream s;
    return s;
}

/// What so many threads can do at this moment: GFLOP/s of multiply-adds, GB/s read from memory.
struct ceilings {
    double peak, bandwidth;
};

/// Takes 15 and 20 ms. The peak is that of f32, or of dot products of bf16.
inline ceilings measure_ceilings(int threads, bool bf16_dots)
{
    return {bf16_dots ? bf16_dot_peak(threads, 0.015) : fma_peak(threads, 0.015), memory().bandwidth(threads, 0.02)};
}

}  // namespace bench
