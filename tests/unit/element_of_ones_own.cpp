// SPDX-License-Identifier: MIT
// An element that a program adds: E5M2, the upper byte of an f16. No machine has an override for it, so attention over
// it shows that the portable list serves every machine.
#include "tensors.hpp"

#include <heed/append.hpp>

#include <catch2/catch.hpp>

namespace {

struct e5m2 {
    std::uint8_t bits;

    e5m2() = default;
    explicit e5m2(float x) : bits(static_cast<std::uint8_t>(heed::f16(x).bits >> 8)) {}  // rounded towards 0
    operator float() const
    {
        heed::f16 h;
        h.bits = static_cast<std::uint16_t>(bits << 8);
        return h;
    }
};

}  // namespace

template <>
struct heed::element_traits<e5m2> : heed::detail::quantised_number<e5m2> {
    static float scale_for(const heed::detail::extremes& e) { return e.largest() / 57344; }
    static e5m2 encode(float x, float scale) { return e5m2(x / scale); }
};
TEST_CASE("a cache of an element of one's own has the bits of the floats that it holds")
{
    using E = e5m2;
    const test::int64 kv_heads = 2, keys = 600;
    for (const test::int64 dim : {24, 64}) {
        const heed::extents size{1, kv_heads, keys, dim};
        const auto given = test::normal<float>(size, 7);
        std::vector<E> k(given.data.size()), v(k.size());
        const heed::dense_kv cache{heed::bhsd(k, size), heed::bhsd(v, size)};
        REQUIRE(heed::append(cache, 0, 0, given.in(), given.in()));
        test::tensor<float> k_held(size), v_held(size);
        REQUIRE(heed::fetch(cache, 0, 0, k_held.view(), v_held.view()));
        for (std::size_t i = 0; i < k.size(); ++i) REQUIRE(k_held.data[i] == static_cast<float>(k[i]));
        for (const test::int64 queries : {1, 3, 50}) {
            const auto q = test::normal<float>({1, 4, queries, dim}, 8);
            test::tensor<float> out(q.size), expected(q.size);
            REQUIRE(heed::attend(heed::softmax{}, q.in(), cache, out.view()));
            REQUIRE(heed::attend(heed::softmax{}, q.in(), heed::dense_kv{k_held.in(), v_held.in()}, expected.view()));
            CHECK(test::same_bits(out.data, expected.data));
        }
    }
}
