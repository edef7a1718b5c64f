// SPDX-License-Identifier: MIT
// Products of quads are exact, and those of pairs: their operations do what their comments say, and register blocks
// have the bits of integer_scores() and integer_outputs(). Quads are for registers of four words: other machines test
// those of plain C++.
#if !defined(__aarch64__)
#define HEED_PORTABLE
#endif
#include <heed/base/element/int8.hpp>
#include <heed/base/element/q4_0.hpp>
#include <heed/base/element/q8_0.hpp>
#include <heed/engine/micro/quad_outputs.hpp>
#include <heed/engine/micro/quad_scores.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__  // no machine of the other order multiplies quads

namespace {

using namespace heed::micro;
using quads = heed::simd::native_quads;
using words = quads::words;
constexpr int lanes = heed::simd::vec<float>::lanes;
static_assert(lanes == 4);
using bytes = std::array<std::int8_t, 16>;

bytes bytes_of(const words& w)
{
    bytes x;
    std::memcpy(x.data(), &w, sizeof(w));
    return x;
}

struct drawing {
    std::mt19937_64 random{11};

    bytes byte_register()
    {
        bytes x;
        for (std::int8_t& b : x) b = static_cast<std::int8_t>(random());
        return x;
    }
    float number() { return std::normal_distribution<float>{}(random); }

    /// Rows of `dim` channels, side by side.
    template <class E>
    std::vector<E> elements(std::int64_t rows, std::int64_t dim)
    {
        std::vector<E> all(static_cast<std::size_t>(rows * heed::elements_for<E>(dim)));
        for (E& e : all) {
            std::uint8_t stored[sizeof(E)];
            for (std::uint8_t& b : stored) b = static_cast<std::uint8_t>(random());
            std::memcpy(&e, stored, sizeof(E));
            if constexpr (heed::channels_of < E >> 1) e.d = heed::f16(0.1f * number());
        }
        return all;
    }
};

words from(const bytes& x)
{
    words w;
    std::memcpy(&w, x.data(), sizeof(w));
    return w;
}

template <int I>
void check_dot(drawing& draw)
{
    const bytes a = draw.byte_register(), b = draw.byte_register(), start = draw.byte_register();
    std::uint32_t expected[4], sum[4];
    std::memcpy(expected, start.data(), sizeof(expected));
    for (std::size_t i = 0; i < 16; ++i)
        expected[i / 4] += static_cast<std::uint32_t>(int{a[4 * I + i % 4]} * int{b[i]});
    words acc = from(start);
    quads::dot<I>(acc, from(a), from(b));
    std::memcpy(sum, &acc, sizeof(sum));
    CHECK(std::memcmp(sum, expected, sizeof(sum)) == 0);
}

constexpr int most_rows = register_rows;
const piece nothing[1] = {{0, 0}};

/// Scores of a strip of keys by pairs and by quads.
template <class E, int Bits>
void check_scores(drawing& draw, int rows, std::int64_t dim)
{
    constexpr int parts = Bits / 8, keys = key_strip<float>;
    const std::int64_t terms = heed::channels_of<E> > 1 ? heed::channels_of<E> : dim, stride = dim / 2 + 16;
    const auto k = draw.elements<E>(keys, dim);
    const std::int64_t each = heed::elements_for<E>(dim);
    const auto words_of_rows = static_cast<std::size_t>(most_rows * stride);
    std::vector<std::uint32_t> pairs(words_of_rows), packed(words_of_rows);
    std::vector<float> steps(most_rows), q(static_cast<std::size_t>(dim));
    for (int r = 0; r < rows; ++r) {
        for (float& x : q) x = r == 1 ? 0.f : draw.number();
        if (r == 2) q[5] = std::numeric_limits<float>::infinity();
        const std::int64_t largest = largest_operand(Bits, terms);
        steps[static_cast<std::size_t>(r)] = pack_integers<E>(q.data(), dim, largest, pairs.data() + r * stride);
        const float step = pack_quads(q.data(), dim, largest, packed.data() + r * stride);
        CHECK(std::memcmp(&step, &steps[static_cast<std::size_t>(r)], sizeof(step)) == 0);
    }
    line_feed ahead(nothing);
    std::vector<std::uint32_t> strips[2];
    std::vector<float> scales[2], scores[2];
    integer_strip strip[2];
    for (std::size_t i = 0; i < 2; ++i) {
        strips[i].resize(static_cast<std::size_t>(dim / 2 * keys));
        scales[i].resize(static_cast<std::size_t>(dim / 16 * keys));
        scores[i].resize(most_rows * score_stride);
        strip[i] = {strips[i].data(), scales[i].data()};
    }
    const std::int64_t k_stride = heed::channels_of<E> > 1 ? each * static_cast<std::int64_t>(sizeof(E)) : each;
    for (int lane = 0; lane < keys; lane += lanes) {
        const matrix<const E> at{k.data() + lane * each, k_stride};
        pack_integer_keys<E>(at, dim, strip[0], lane, ahead);
        pack_quad_keys<E>(at, dim, strip[1], lane);
    }
    integer_scores<E>(rows, {pairs.data(), stride, steps.data()}, strip[0], integer_pairs<E>(dim), scores[0].data(),
                      ahead);
    quad_scores<parts, E>(rows, {packed.data(), stride, steps.data()}, strip[1], quads_of(dim), scores[1].data(),
                          ahead);
    CHECK(std::memcmp(scores[0].data(), scores[1].data(), scores[0].size() * sizeof(float)) == 0);
    CHECK(scores[1][0] != 0);
}

/// Outputs of two registers of channels by pairs and by quads.
template <class E, int Bits>
void check_outputs(drawing& draw, int rows, std::int64_t channel)
{
    constexpr int parts = Bits / 8, keys = 48;
    constexpr std::int64_t dim = 64;
    const auto v = draw.elements<E>(keys, dim);
    const E* at[keys];
    for (int j = 0; j < keys; ++j) at[j] = v.data() + j * 29 % keys * heed::elements_for<E>(dim);
    const auto words_of_rows = static_cast<std::size_t>(most_rows * integer_weight_stride);
    std::vector<std::uint32_t> pairs(words_of_rows), packed(words_of_rows);
    std::vector<float> weights(keys), factors(keys);
    const std::int64_t largest = largest_operand(Bits, key_tile);
    for (int r = 0; r < rows; ++r) {
        for (float& x : weights) x = draw.random() % 3 == 0 ? 0.f : draw.number();
        for (float& x : factors) x = draw.number();
        if (r == 3) factors[7] = weights[7] = std::numeric_limits<float>::quiet_NaN();
        const float* const d = heed::channels_of<E> > 1 ? factors.data() : nullptr;
        const float step =
            quantise_weights({weights.data(), d}, keys, largest, pairs.data() + r * integer_weight_stride);
        const float same =
            quantise_to_quads<parts>({weights.data(), d}, keys, largest, packed.data() + r * integer_weight_stride);
        CHECK(std::memcmp(&step, &same, sizeof(step)) == 0);
    }
    line_feed ahead(nothing);
    std::vector<std::uint32_t> sums[2];
    for (std::uint32_t& x : sums[0] = std::vector<std::uint32_t>(most_rows * 2 * lanes))
        x = static_cast<std::uint32_t>(draw.random());
    sums[1] = sums[0];
    integer_outputs<E>({rows, 2}, pairs.data(), integer_values<E>{at, channel, keys / 2}, {sums[0].data(), 2 * lanes},
                       ahead);
    quad_outputs<parts, E>(rows, packed.data(), {at, channel, keys / quad_keys<parts>}, {sums[1].data(), 2 * lanes},
                           ahead);
    CHECK(sums[0] == sums[1]);
}

template <class E, int Bits>
void check_blocks(drawing& draw)
{
    for (int rows = 1; rows <= most_rows; ++rows) {
        for (const std::int64_t dim : {32, 128}) check_scores<E, Bits>(draw, rows, dim);
        if (heed::channels_of<E> == 1) check_scores<E, Bits>(draw, rows, 48);
        for (const std::int64_t channel : {0, 8, 16, 24, 40}) check_outputs<E, Bits>(draw, rows, channel);
    }
}

}  // namespace

TEST_CASE("quads are multiplied and put together as plain loops do it")
{
    drawing draw;
    for (int round = 0; round < 50; ++round) {
        check_dot<0>(draw);
        check_dot<1>(draw);
        check_dot<2>(draw);
        check_dot<3>(draw);

        const bytes r[4] = {draw.byte_register(), draw.byte_register(), draw.byte_register(), draw.byte_register()};
        words two[2];
        quads::interleave(r[0].data() + 3, r[1].data() + 8, r[2].data() + 1, r[3].data(), two);
        const std::size_t first[4] = {3, 8, 1, 0};
        for (std::size_t i = 0; i < 32; ++i) CHECK(bytes_of(two[i / 16])[i % 16] == r[i % 4][first[i % 4] + i / 4]);

        quads::interleave_words(from(r[0]), from(r[1]), two);
        for (std::size_t i = 0; i < 32; ++i) CHECK(bytes_of(two[i / 16])[i % 16] == r[i / 4 % 2][i / 8 * 4 + i % 4]);

        for (std::size_t i = 0; i < 16; ++i) {
            const int b = r[2][i];
            CHECK(bytes_of(quads::field<std::int8_t>(from(r[2]), 0))[i] == b);
            CHECK(bytes_of(quads::field<heed::q8_0>(from(r[2]), 0))[i] == b);
            CHECK(bytes_of(quads::field<heed::q4_0>(from(r[2]), 0))[i] == (b & 15) - 8);
            CHECK(bytes_of(quads::field<heed::q4_0>(from(r[2]), 1))[i] == (b >> 4 & 15) - 8);
        }
    }
}

TEST_CASE("whole numbers of 16 bits are two bytes with a sign")
{
    float whole[16] = {32639, -32639, 128, -129, 127, -128, 0, 255, -256};
    heed::simd::vec<float> x[4];
    for (int i = 0; i < 4; ++i) x[i] = heed::simd::load(whole + 4 * i);
    words upper, lower;
    quads::bytes::split(x, upper, lower);
    for (std::size_t i = 0; i < 16; ++i)
        CHECK(256 * bytes_of(upper)[i] + bytes_of(lower)[i] == static_cast<int>(whole[i]));
}

TEST_CASE("register blocks of quads have the bits of pairs")
{
    drawing draw;
    check_blocks<std::int8_t, 16>(draw);
    check_blocks<std::int8_t, 8>(draw);
    check_blocks<heed::q8_0, 16>(draw);
    check_blocks<heed::q8_0, 8>(draw);
    check_blocks<heed::q4_0, 16>(draw);
    check_blocks<heed::q4_0, 8>(draw);
}

#endif
