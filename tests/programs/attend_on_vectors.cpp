// SPDX-License-Identifier: MIT
// A new user's first program: causal softmax attention of three std::vector<float>. Its own loops in double check it.
#include "numbers.hpp"

// begin
#include <heed/heed.hpp>

#include <vector>

std::vector<float> causal_attention(const std::vector<float>& q, const std::vector<float>& k,
                                    const std::vector<float>& v, const heed::extents& size)
{
    std::vector<float> out(q.size());
    heed::or_throw(heed::attend(heed::attention{heed::softmax{}, heed::causal{}}, heed::bhsd(q, size),
                                heed::bhsd(k, size), heed::bhsd(v, size), heed::bhsd(out, size)));
    return out;
}
// end

int main()
{
    constexpr std::size_t heads = 3, tokens = 37, dim = 20;
    const auto q = numbers(heads * tokens * dim, 1), k = numbers(q.size(), 2), v = numbers(q.size(), 3);
    std::vector<double> expected(q.size());
    for (std::size_t row = 0; row < heads * tokens; ++row) {
        const std::size_t first = row / tokens * tokens;  // key of the row's head
        double sum = 0;
        for (std::size_t key = first; key <= row; ++key) {
            double s = 0;
            for (std::size_t c = 0; c < dim; ++c) s += double{q[row * dim + c]} * double{k[key * dim + c]};
            const double w = std::exp(s / std::sqrt(double{dim}));
            sum += w;
            for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] += w * double{v[key * dim + c]};
        }
        for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] /= sum;
    }
    const auto out = causal_attention(q, k, v, {.batch = 1, .heads = heads, .tokens = tokens, .dim = dim});
    return agrees("attend_on_vectors", out, expected) ? 0 : 1;
}
