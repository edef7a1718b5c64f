// SPDX-License-Identifier: MIT
// A new user's score map: each head adds a number for each distance between key and query, out of a table. Its own
// loops in double check it.
#include "numbers.hpp"

// begin
#include <heed/heed.hpp>

#include <vector>

std::vector<float> relative_attention(const std::vector<float>& q, const std::vector<float>& k,
                                      const std::vector<float>& v, const heed::extents& size,
                                      const std::vector<float>& table)  // [head, distance + tokens - 1]
{
    const auto by_distance = heed::map_score([&](auto s, const auto& at) {
        const float* middle = table.data() + at.head * (2 * size.tokens - 1) + size.tokens - 1;
        return s + at.load(middle, -at.position);
    });
    std::vector<float> out(q.size());
    heed::or_throw(heed::attend(by_distance, heed::bhsd(q, size), heed::bhsd(k, size), heed::bhsd(v, size),
                                heed::bhsd(out, size)));
    return out;
}
// end

int main()
{
    constexpr std::size_t heads = 3, tokens = 29, dim = 16;
    const auto q = numbers(heads * tokens * dim, 1), k = numbers(q.size(), 2), v = numbers(q.size(), 3);
    const auto table = numbers(heads * (2 * tokens - 1), 4);
    std::vector<double> expected(q.size());
    for (std::size_t row = 0; row < heads * tokens; ++row) {
        const std::size_t head = row / tokens;
        double sum = 0;
        for (std::size_t key = head * tokens; key < (head + 1) * tokens; ++key) {
            double s = 0;
            for (std::size_t c = 0; c < dim; ++c) s += double{q[row * dim + c]} * double{k[key * dim + c]};
            s = s / std::sqrt(double{dim}) + double{table[head * (2 * tokens - 1) + key + tokens - 1 - row]};
            const double w = std::exp(s);
            sum += w;
            for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] += w * double{v[key * dim + c]};
        }
        for (std::size_t c = 0; c < dim; ++c) expected[row * dim + c] /= sum;
    }
    const auto out = relative_attention(q, k, v, {.batch = 1, .heads = heads, .tokens = tokens, .dim = dim}, table);
    return agrees("score_map_with_table", out, expected) ? 0 : 1;
}
