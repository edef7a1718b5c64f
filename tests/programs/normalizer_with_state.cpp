// SPDX-License-Identifier: MIT
// A new user's normalizer that holds numbers of its own: a threshold of weights and a sink for each head. Its own loops
// in double check it.
#include "numbers.hpp"

// begin
#include <heed/heed.hpp>

#include <vector>

struct thresholded {  // weight max(e^s - threshold, 0), mass the same and e^sink
    static constexpr auto shift = heed::shift::at_least_zero;
    float threshold;
    std::vector<double> sinks;  // one for each query head

    template <class Score>
    auto terms(Score s) const
    {
        const auto t = heed::max(s.exp() - threshold * s.one(), 0);
        return heed::ratio{t, t};
    }
    double log_offset(std::int64_t head) const { return sinks[static_cast<std::size_t>(head)]; }
};
// end

int main()
{
    constexpr std::size_t heads = 2, tokens = 21, dim = 16;
    const thresholded normalizer{1.1f, {-1.0, 0.5}};
    const auto q = numbers(heads * tokens * dim, 1), k = numbers(q.size(), 2), v = numbers(q.size(), 3);
    std::vector<float> out(q.size());
    const heed::extents size{.batch = 1, .heads = heads, .tokens = tokens, .dim = dim};
    heed::or_throw(
        heed::attend(normalizer, heed::bhsd(q, size), heed::bhsd(k, size), heed::bhsd(v, size), heed::bhsd(out, size)));

    std::vector<double> expected(q.size());
    for (std::size_t row = 0; row < heads * tokens; ++row) {
        const std::size_t head = row / tokens;
        double sum = std::exp(normalizer.sinks[head]);
        for (std::size_t key = head * tokens; key < (head + 1) * tokens; ++key) {
            double s = 0;
            for (std::size_t c = 0; c < dim; ++c) s += double{q[row * dim + c]} * double{k[key * dim + c]};
            const double w = std::fmax(std::exp(s / std::sqrt(double{dim})) - double{normalizer.threshold}, 0);
            sum += w;
            for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] += w * double{v[key * dim + c]};
        }
        for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] /= sum;
    }
    return agrees("normalizer_with_state", out, expected) ? 0 : 1;
}
