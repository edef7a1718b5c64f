// SPDX-License-Identifier: MIT
// Storage types: every bit pattern widens exactly, every rounding is to nearest even, and attention of bf16 and f16 is
// that of the same numbers in float, rounded once.
#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <bit>
#include <cmath>

using namespace test;

namespace {

template <class E>
E of_bits(std::uint32_t bits)
{
    E e;
    e.bits = static_cast<std::uint16_t>(bits);
    return e;
}

/// What the format's definition says: sign, exponent and fraction of `fraction` bits, `bias`.
double by_definition(std::uint32_t bits, int fraction, int bias)
{
    const std::uint32_t f = bits & ((1u << fraction) - 1), e = (bits & 0x7fffu) >> fraction, top = 0x7fffu >> fraction;
    const double sign = bits & 0x8000u ? -1 : 1;
    if (e == top) return f ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    if (e == 0) return sign * std::ldexp(f, 1 - bias - fraction);
    return sign * std::ldexp((1u << fraction) + f, static_cast<int>(e) - bias - fraction);
}

bool same(double a, double b)
{
    return (std::isnan(a) && std::isnan(b)) || std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

/// The nearest of the format's numbers, ties to even, found by looking at both neighbours.
template <class E>
std::uint32_t nearest(double x, int fraction, int bias)
{
    std::uint32_t low = 0, high = 0x7fffu & ~((1u << fraction) - 1);  // 0 and infinity
    const double m = std::fabs(x),
                 infinity = 2 * by_definition(high - 1, fraction, bias) - by_definition(high - 2, fraction, bias);
    const auto value = [&](std::uint32_t b) { return b == high ? infinity : by_definition(b, fraction, bias); };
    std::uint32_t top = high;
    while (top - low > 1) {
        const std::uint32_t middle = (low + top) / 2;
        (value(middle) <= m ? low : top) = middle;
    }
    const double below = m - value(low), above = value(top) - m;
    const std::uint32_t b = above < below || (above == below && top % 2 == 0) ? top : low;
    return b | (std::signbit(x) ? 0x8000u : 0);
}

template <class E>
void check_format(int fraction, int bias)
{
    std::vector<E> every(1 << 16);
    std::vector<float> scalar, wide(1 << 16);
    for (std::uint32_t b = 0; b < 1u << 16; ++b) {
        every[b] = of_bits<E>(b);
        const float x = every[b];
        if (!same(x, by_definition(b, fraction, bias))) FAIL("bits " << b << " widen to " << x);
        scalar.push_back(x);
    }
    constexpr std::size_t lanes = heed::simd::vec<float>::lanes;
    for (std::size_t i = 0; i < every.size(); i += lanes)
        heed::simd::store(&wide[i], heed::simd::load_as<float>(&every[i]));
    for (std::size_t i = 0; i < every.size(); ++i)
        if (!same(wide[i], scalar[i])) FAIL("bits " << i << " widen to " << wide[i] << " in a register");

    // Each number, the middles between neighbours, and the floats beside those.
    std::vector<float> x;
    for (std::uint32_t b = 0; b < 1u << 16; ++b) {
        const float a = of_bits<E>(b), next = of_bits<E>(b + 1);
        if (!std::isfinite(a)) continue;
        const float middle = std::isfinite(next) ? (a / 2 + next / 2) : a + std::ldexp(a, -fraction - 2);
        for (const float y : {a, middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY)})
            x.push_back(y);
    }
    for (const float y : {INFINITY, -INFINITY, 3e38f, -3e38f, 1e-45f, -1e-45f, std::bit_cast<float>(0x7f800001u)})
        x.push_back(y);
    while (x.size() % lanes) x.push_back(0);
    std::vector<E> rounded(x.size());
    for (std::size_t i = 0; i < x.size(); i += lanes) heed::simd::store_as(&rounded[i], heed::simd::load(&x[i]));
    for (std::size_t i = 0; i < x.size(); ++i) {
        const E one(x[i]);
        if (std::isnan(x[i])) {
            if (!std::isnan(static_cast<float>(one)) || !std::isnan(static_cast<float>(rounded[i])))
                FAIL("NaN is lost");
            continue;
        }
        const std::uint32_t expected = nearest<E>(x[i], fraction, bias);
        if (one.bits != expected || rounded[i].bits != expected)
            FAIL(x[i] << " rounds to " << one.bits << " and in a register to " << rounded[i].bits << ", not "
                      << expected);
    }
    SUCCEED();
}

template <class E>
tensor<E> rounded(const tensor<float>& t)
{
    tensor<E> r;
    r.size = t.size;
    for (const float x : t.data) r.data.push_back(static_cast<E>(x));
    return r;
}
template <class E>
tensor<float> widened(const tensor<E>& t)
{
    tensor<float> w;
    w.size = t.size;
    for (const E x : t.data) w.data.push_back(static_cast<float>(x));
    return w;
}

template <class Q, class K, class V, class O>
void check_mix(int64 queries, int64 keys, int64 key_dim, int64 value_dim)
{
    const problem<float> p(2, 4, 2, queries, keys, key_dim, value_dim);
    const tensor<Q> q = rounded<Q>(p.q);
    const tensor<K> k = rounded<K>(p.k);
    tensor<V> v = rounded<V>(p.v);
    if (keys > 3)
        v.data[static_cast<std::size_t>(2 * value_dim)] = static_cast<V>(INFINITY);  // met by weights of 0 too
    const tensor<float> wq = widened(q), wk = widened(k), wv = widened(v);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    tensor<float> expected(p.out_size());
    heed::or_throw(heed::attend(def, wq.in(), wk.in(), wv.in(), expected.view()));
    const tensor<O> once = rounded<O>(expected);

    tensor<O> out = rounded<O>(tensor<float>(p.out_size(), -7));
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view()));
    REQUIRE(same_bits(out.data, once.data));

    owned_state<float> s(def, p.out_size());
    heed::or_throw(heed::attend_partial(def, q.in(), k.in(), v.in(), s.state()));
    tensor<O> finished(p.out_size());
    heed::or_throw(heed::finish(def, s.state(), finished.view()));
    REQUIRE(same_bits(finished.data, once.data));
}

}  // namespace

TEST_CASE("bf16 widens exactly and rounds to nearest even, alone and in registers")
{
    check_format<heed::bf16>(7, 127);
}
TEST_CASE("f16 widens exactly and rounds to nearest even, alone and in registers") { check_format<heed::f16>(10, 15); }

TEST_CASE("attention of bf16 and f16 in any mix is that of the same numbers in float, rounded once")
{
    using heed::bf16;
    using heed::f16;
    const std::array<int64, 4> shapes[] = {
        {1, 700, 64, 64}, {3, 33, 19, 21}, {130, 600, 40, 72}, {40, 7, 5, 3}, {9, 1100, 128, 130}};
    for (const auto& [queries, keys, key_dim, value_dim] : shapes) {
        CAPTURE(queries, keys, key_dim, value_dim);
        check_mix<bf16, bf16, bf16, bf16>(queries, keys, key_dim, value_dim);
        check_mix<f16, f16, f16, f16>(queries, keys, key_dim, value_dim);
        check_mix<float, bf16, f16, float>(queries, keys, key_dim, value_dim);
        check_mix<bf16, f16, float, f16>(queries, keys, key_dim, value_dim);
    }
}

TEST_CASE("the threads, chunks and splits of bf16 have the bits of the whole")
{
    const problem<float> p(1, 4, 2, 90, 1300, 40, 24);
    const tensor<heed::bf16> q = rounded<heed::bf16>(p.q), k = rounded<heed::bf16>(p.k), v = rounded<heed::bf16>(p.v);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    tensor<heed::bf16> whole(p.out_size()), chunked(p.out_size());
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), whole.view()));
    for (int64 first = 0; first < 90; first += first < 80 ? 40 : 1) {
        const int64 n = first < 80 ? 40 : 1, keys = 1300 - 90 + first + n;
        heed::or_throw(heed::attend(def, tokens(q.in(), first, n), tokens(k.in(), 0, keys), tokens(v.in(), 0, keys),
                                    tokens(chunked.view(), first, n)));
    }
    REQUIRE(same_bits(whole.data, chunked.data));
}

TEST_CASE("raw 16-bit numbers are tagged, not copied")
{
    std::uint16_t raw[4] = {0x3f80, 0x4000, 0x4040, 0x4080};
    heed::bf16* p = heed::as<heed::bf16>(raw);
    REQUIRE(static_cast<void*>(p) == raw);
    REQUIRE(static_cast<float>(p[2]) == 3);
    static_assert(
        std::is_same_v<decltype(heed::as<heed::f16>(static_cast<const std::uint16_t*>(raw))), const heed::f16*>);
}
