// SPDX-License-Identifier: MIT
// Caches of blocks with a zero point, in pages. What their bytes mean is decoded here once more, from OpenVINO's
// layout: two floats, scale and zero point, and then a byte a channel, or one for two, the first of them above.
#include "plain_caches.hpp"

#include <heed/append.hpp>

namespace {

using namespace oracle;

double float_at(const unsigned char* p)
{
    float x;
    std::memcpy(&x, p, sizeof x);
    return static_cast<double>(x);
}

/// Channel c of a row of groups of `group` channels of `bits` bits.
double decoded(const void* row, int64 c, int64 group, int bits)
{
    const auto* bytes = static_cast<const unsigned char*>(row) + c / group * (8 + group * bits / 8);
    const int64 at = c % group;
    const int q = bits == 8 ? bytes[8 + at] : at % 2 == 0 ? bytes[8 + at / 2] / 16 : bytes[8 + at / 2] % 16;
    const auto difference = static_cast<float>(q - float_at(bytes + 4));
    return static_cast<double>(static_cast<float>(static_cast<double>(difference) * float_at(bytes)));
}

template <class E>
double decoded(const heed::view<const E>& pool, int64 page, int64 h, int64 slot, int64 c)
{
    constexpr int64 group = heed::channels_of<E>;
    return decoded(pool.row(page, h, slot), c, group, sizeof(E) == group + 8 ? 8 : 4);
}

/// Tokens that append() wrote, attended to with up to 40 rows of queries.
template <class K, class V>
void judge_pages(int64 key_dim)
{
    const int64 slots = 31;
    const tokens of({67, 1, 531, 64, 0}, key_dim);
    const test::page_lists lists(of.all_lengths(), slots);
    test::tensor<K> k({lists.pool_pages(), of.kv_heads, slots, of.key_dim});
    test::tensor<V> v({lists.pool_pages(), of.kv_heads, slots, of.value_dim});
    for (int64 b = 0; b < of.batch(); ++b) {
        if (of.length(b) == 0) continue;
        REQUIRE(heed::append(heed::paged_kv{k.view(), v.view(), lists.padded()}, b, 0,
                             heed::strided(of.k().in().row(b, 0, 0), {1, of.kv_heads, of.length(b), of.key_dim},
                                           {0, of.k().in().stride.heads, of.key_dim}),
                             heed::strided(of.v().in().row(b, 0, 0), {1, of.kv_heads, of.length(b), of.value_dim},
                                           {0, of.v().in().stride.heads, of.value_dim})));
    }
    plain::problem p = of.formula();
    p.k = [&](int64 b, int64 h, int64 t, int64 c) { return decoded(k.in(), lists.page_of(b, t), h, t % slots, c); };
    p.v = [&](int64 b, int64 h, int64 t, int64 c) { return decoded(v.in(), lists.page_of(b, t), h, t % slots, c); };
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0; t < of.length(b); ++t)
            for (int64 h = 0; h < of.kv_heads; ++h)
                for (int64 c = 0; c < of.value_dim; ++c) {  // drawn from a normal distribution: within 10 of each other
                    const double x = static_cast<double>(of.v().in().row(b, h, t)[c]), kept = p.v(b, h, t, c);
                    if (!(std::fabs(x - kept) <= (sizeof(V) == heed::channels_of<V> + 8 ? 5. / 255 : 5. / 15)))
                        FAIL(kept << " for " << x);
                }
    for (const int64 rows : {1, 3, 40}) judge_all_masks(of, rows, heed::paged_kv{k.in(), v.in(), lists.csr()}, p);
}

}  // namespace

TEST_CASE("blocks with a zero point stand for what their bytes say, and attend() reads them so", "[oracle][plain]")
{
    SECTION("u8 keys in groups of 64 channels, u4 values") { judge_pages<heed::u8_block<64>, heed::u4_block<32>>(128); }
    SECTION("u4 keys in groups of 32 channels, u8 values") { judge_pages<heed::u4_block<32>, heed::u8_block<32>>(64); }
}
