// SPDX-License-Identifier: MIT
// Keys of codes in pages, whose channels have a scale and a zero point in each block of tokens. What their bytes mean
// is decoded here once more: a byte a channel, or one for two, the first of them above.
#include "../channel_blocks.hpp"
#include "plain_caches.hpp"

namespace {

using namespace oracle;

/// Channel c of the key in a slot of a page, in blocks of `n` slots.
template <int Bits>
double decoded(const test::key_blocks<Bits>& k, int64 page, int64 h, int64 slot, int64 c)
{
    const heed::extents& e = k.codes.size;
    const auto* bytes = reinterpret_cast<const unsigned char*>(k.codes.data.data()) +
                        ((page * e.heads + h) * e.tokens + slot) * e.dim * Bits / 8;
    const int q = Bits == 8 ? bytes[c] : c % 2 == 0 ? bytes[c / 2] / 16 : bytes[c / 2] % 16;
    const auto at =
        static_cast<std::size_t>(((page * e.heads + h) * (e.tokens / k.tokens) + slot / k.tokens) * e.dim + c);
    const auto difference = static_cast<float>(q - static_cast<double>(k.zero.data[at]));
    return static_cast<double>(
        static_cast<float>(static_cast<double>(difference) * static_cast<double>(k.scale.data[at])));
}

/// Tokens that append() wrote, attended to with up to 40 rows of queries.
template <int Bits>
void judge_pages(int64 slots, int64 block)
{
    const tokens of({67, 1, 531, 64, 0}, 64);
    const test::page_lists lists(of.all_lengths(), slots);
    test::key_blocks<Bits> k({lists.pool_pages(), of.kv_heads, slots, of.key_dim}, block);
    test::tensor<float> v({lists.pool_pages(), of.kv_heads, slots, of.value_dim}, NAN);
    for (int64 b = 0; b < of.batch(); ++b)
        if (of.length(b) > 0)
            REQUIRE(heed::append(k.paged(v.view(), lists.padded()), b, 0, test::of_sequence(of.k(), b, of.length(b)),
                                 test::of_sequence(of.v(), b, of.length(b))));
    plain::problem p = of.formula();
    p.k = [&](int64 b, int64 h, int64 t, int64 c) { return decoded(k, lists.page_of(b, t), h, t % slots, c); };
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0; t < of.length(b); ++t)
            for (int64 h = 0; h < of.kv_heads; ++h)
                for (int64 c = 0; c < of.key_dim; ++c) {  // drawn from a normal distribution: within 10 of each other
                    const double x = static_cast<double>(of.k().in().row(b, h, t)[c]), kept = p.k(b, h, t, c);
                    if (!(std::fabs(x - kept) <= 5. / ((1 << Bits) - 1))) FAIL(kept << " for " << x);
                }
    const auto& read = k;
    for (const int64 rows : {1, 3, 40}) judge_all_masks(of, rows, read.paged(v.in(), lists.csr()), p);

    // scales and zero points of keys that no row attends may be anything
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0; t / block < (of.length(b) - 8) / block; ++t)
            for (int64 h = 0; h < of.kv_heads; ++h)
                for (int64 c = 0; c < of.key_dim; ++c)
                    (c % 2 ? k.scale : k.zero).view().row(lists.page_of(b, t), h, t % slots / block)[c] = NAN;
    judge_all_masks(of, 3, read.paged(v.in(), lists.csr()), p, "a short window");
}

}  // namespace

TEST_CASE("codes stand for what their bytes, scales and zero points say, and attend() reads them so", "[oracle][plain]")
{
    SECTION("of 8 bits, a block a page") { judge_pages<8>(32, 32); }
    SECTION("of 4 bits, pages of three blocks") { judge_pages<4>(48, 16); }
}
