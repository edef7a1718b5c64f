// SPDX-License-Identifier: MIT
// A new user's engine decodes one token of two sequences, four query heads on two kv heads, over a cache in pages. Its
// own loops in double check it.
#include "numbers.hpp"

// begin
#include <heed/heed.hpp>

#include <vector>

struct cache {
    heed::extents pool;               // pages, kv heads, slots, channels
    std::vector<float> k, v;          // [page, slot, kv head, channel]
    std::vector<int> pages, lengths;  // [sequence, width] and [sequence]
    int width;                        // pages of a sequence, at most
};

void decode(const std::vector<float>& q, const cache& c, std::vector<float>& out, const heed::extents& size)
{
    const heed::paged_kv kv{heed::bshd(c.k, c.pool), heed::bshd(c.v, c.pool),
                            heed::page_table::padded(c.pages, c.width, c.lengths)};
    heed::or_throw(heed::attend(heed::softmax{}, heed::bhsd(q, size), kv, heed::bhsd(out, size)));
}
// end

int main()
{
    constexpr int sequences = 2, heads = 4, kv_heads = 2, slots = 8, dim = 24, pool = 7;
    const cache c{.pool = {.batch = pool, .heads = kv_heads, .tokens = slots, .dim = dim},
                  .k = numbers(pool * slots * kv_heads * dim, 2),
                  .v = numbers(pool * slots * kv_heads * dim, 3),
                  .pages = {5, 0, 3, /**/ 6, 2, 99},  // the second sequence needs two
                  .lengths = {19, 16},
                  .width = 3};
    const auto q = numbers(sequences * heads * dim, 1);
    std::vector<float> out(q.size());
    decode(q, c, out, {.batch = sequences, .heads = heads, .tokens = 1, .dim = dim});

    std::vector<double> expected(q.size());
    for (int b = 0; b < sequences; ++b)
        for (int h = 0; h < heads; ++h) {
            const auto at = [](int i) { return static_cast<std::size_t>(i); };
            const std::size_t row = at((b * heads + h) * dim);
            double sum = 0;
            for (int t = 0; t < c.lengths[at(b)]; ++t) {
                const int page = c.pages[at(b * c.width + t / slots)];
                const std::size_t key = at(((page * slots + t % slots) * kv_heads + h / (heads / kv_heads)) * dim);
                double s = 0;
                for (std::size_t i = 0; i < dim; ++i) s += double{q[row + i]} * double{c.k[key + i]};
                const double w = std::exp(s / std::sqrt(double{dim}));
                sum += w;
                for (std::size_t i = 0; i < dim; ++i) expected[row + i] += w * double{c.v[key + i]};
            }
            for (std::size_t i = 0; i < dim; ++i) expected[row + i] /= sum;
        }
    return agrees("decode_over_pages", out, expected) ? 0 : 1;
}
