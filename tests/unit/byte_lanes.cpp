// SPDX-License-Identifier: MIT
// What products of bytes are written in has the bits of arch/portable_bytes.hpp, whatever instructions it takes; and
// weights as bytes are the whole numbers that they stand for.
#include <heed/base/element/q4_0.hpp>
#include <heed/base/element/q8_0.hpp>
#include <heed/engine/micro/byte_outputs.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace {

using native = heed::simd::native_arch;
using portable = heed::simd::machine::portable<4 * heed::simd::vec<float>::lanes>;
constexpr int lanes = heed::simd::vec<float>::lanes, bytes = 4 * lanes;
using stored = std::array<std::uint8_t, bytes>;

struct drawn_rows {
    std::mt19937_64 random{7};
    std::vector<std::uint8_t> all = std::vector<std::uint8_t>(1000);
    std::array<stored, 4> registers;
    std::array<float, 4 * lanes> whole;

    void draw()
    {
        for (std::uint8_t& x : all) x = static_cast<std::uint8_t>(random());
        for (stored& r : registers)
            for (std::uint8_t& x : r) x = static_cast<std::uint8_t>(random());
        for (float& x : whole) x = static_cast<float>(static_cast<int>(random() % 65279) - 32639);
        whole[0] = 32639;  // 127 * 256 + 127
        whole[1] = -32639;
        whole[2] = 128;
        whole[3] = -129;
    }
};

/// All operations on a register of bytes of machine A.
template <class A>
struct results {
    using B = heed::simd::byte_lanes<A>;
    using W = typename B::words;
    std::vector<stored> all;

    void keep(const W& w)
    {
        static_assert(sizeof(W) == bytes);
        all.emplace_back();
        std::memcpy(all.back().data(), &w, bytes);
    }
    template <std::size_t N>
    void keep(const W (&w)[N])
    {
        for (const W& x : w) keep(x);
    }
    explicit results(const drawn_rows& x)
    {
        W r[4], four[4], two[2];
        for (int i = 0; i < 4; ++i) std::memcpy(&r[i], x.registers[static_cast<std::size_t>(i)].data(), bytes);
        W sum = r[2];
        B::dot(sum, r[0], r[1]);
        keep(sum);
        const std::uint8_t *a = x.all.data() + 400, *b = a - 77, *c = a + 101, *d = a + 333;
        keep(B::template load<bytes>(a, 0));
        keep(B::template load<bytes / 2>(a, -131));
        keep(B::template load<bytes / 4>(a, 65));
        keep(B::two(a, b));
        keep(B::four(a, b, c, d));
        for (int n = 0; n <= bytes; ++n) keep(B::load_n(a, n));
        B::transpose_lanes(r, four);
        keep(four);
        keep(B::add_neighbours(r[0], r[1]));
        B::template interleave_rows<0>(r, two);
        keep(two);
        B::template interleave_rows<1>(r, two);
        keep(two);
        const W of_two[2] = {r[0], r[1]}, of_one[1] = {r[3]};
        B::interleave_rows(of_two, two);
        keep(two);
        W one[1];
        B::interleave_rows(of_one, one);
        keep(one);
        keep(B::add(r[0], r[1]));
        keep(B::times_256(r[0]));
        keep(B::template field<heed::q8_0>(r[0], 0));
        for (int f = 0; f < 2; ++f) keep(B::template field<heed::q4_0>(r[0], f));
        B::transpose_groups(r);
        keep(r);
        heed::simd::vec<float, A> numbers[4];
        for (int i = 0; i < 4; ++i) numbers[i] = heed::simd::load<A>(x.whole.data() + i * lanes);
        W upper, lower;
        B::split(numbers, upper, lower);
        keep(upper);
        keep(lower);
    }
};

/// What a word of weights says: its bytes are those of four keys.
int weight(const std::vector<std::uint32_t>& words, int parts, int j)
{
    int x = 0;
    for (int p = 0; p < parts; ++p) {
        const std::uint32_t w = words[static_cast<std::size_t>(p * heed::micro::byte_weight_stride + j / 4)];
        x = x * 256 + static_cast<std::int8_t>(w >> (8 * (j % 4)) & 255);
    }
    return x;
}

template <int Parts>
void weights_are_whole_numbers(std::int64_t largest)
{
    constexpr int begin = 4 * lanes, end = 12 * lanes;
    std::mt19937_64 random(5);
    std::vector<float> w(512), d(512);
    for (float& x : w) x = random() % 4 == 0 ? 0.f : static_cast<float>(random() % 10000) / 7e3f;
    for (float& x : d) x = static_cast<float>(static_cast<int>(random() % 2000) - 1000) / 3e4f;
    w[begin - 1] = w[end] = 1e9f;
    w[begin] = 0;
    d[begin] = std::numeric_limits<float>::quiet_NaN();  // of a key without weight
    for (const float* factors : {static_cast<const float*>(nullptr), static_cast<const float*>(d.data())}) {
        std::vector<std::uint32_t> to(2 * heed::micro::byte_weight_stride);
        const float step = heed::micro::step_of_weights(w.data(), factors, begin, end, largest);
        const std::uint32_t sum = heed::micro::round_to_bytes<Parts>(w.data(), factors, begin, end, step, to.data());
        std::int64_t expected = 0, most = 0;
        for (int j = begin; j < end; ++j) {
            const auto at = static_cast<std::size_t>(j);
            const float x = w[at] == 0 ? 0 : factors ? w[at] * d[at] : w[at];
            const auto whole = static_cast<int>(std::nearbyint(x * (1 / step)));
            REQUIRE(weight(to, Parts, j) == whole);
            expected += whole;
            most = std::max<std::int64_t>(most, std::abs(whole));
        }
        REQUIRE(static_cast<std::int32_t>(sum) == expected);
        REQUIRE(most == largest);
    }
}

}  // namespace

TEST_CASE("registers of bytes have the bits of the portable machine")
{
    drawn_rows x;
    int wrong = 0;
    for (int k = 0; k < 500; ++k) {
        x.draw();
        wrong += results<native>(x).all != results<portable>(x).all;
    }
    REQUIRE(wrong == 0);
}

TEST_CASE("weights become bytes of whole numbers, the largest of which is as large as it may be")
{
    weights_are_whole_numbers<1>(127);
    weights_are_whole_numbers<2>(32639);
    weights_are_whole_numbers<2>(16383);
}

TEST_CASE("weights that are not all finite have a step that is NaN, and are rounded to 0")
{
    std::vector<float> w(512, 1.f);
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        w[100] = bad;
        const float step = heed::micro::step_of_weights(w.data(), nullptr, 64, 128, 127);
        REQUIRE(std::isnan(step));
        std::vector<std::uint32_t> to(2 * heed::micro::byte_weight_stride, 77);
        REQUIRE(heed::micro::round_to_bytes<2>(w.data(), nullptr, 64, 128, step, to.data()) == 0);
        for (int j = 64; j < 128; ++j) REQUIRE(weight(to, 2, j) == 0);
        REQUIRE(heed::micro::step_of_weights(w.data(), nullptr, 128, 192, 127) == 1.f / 127);
    }
}
