// SPDX-License-Identifier: MIT
// Blocks with a zero point: their bytes, their registers, and how near to a float what append() writes of it is.
#include "quantised.hpp"

#include <heed/append.hpp>
#include <heed/engine/micro/transpose.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;
using heed::u4_block, heed::u8_block;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();
const float inf_f = std::numeric_limits<float>::infinity();

/// A block of the floats `scale` and `zero` and the bytes behind them, as they lie in memory.
template <class E>
E block_of(float scale, float zero, unsigned char (*byte)(std::size_t))
{
    unsigned char bytes[sizeof(E)];
    std::memcpy(bytes, &scale, 4);
    std::memcpy(bytes + 4, &zero, 4);
    for (std::size_t i = 8; i < sizeof(E); ++i) bytes[i] = byte(i - 8);
    E block;
    std::memcpy(&block, bytes, sizeof block);
    return block;
}

bool equal_bits(float a, float b) { return std::memcmp(&a, &b, sizeof a) == 0; }

template <class E>
constexpr double most = sizeof(E) == heed::channels_of<E> + 8 ? 255 : 15;

/// Rows of 256 channels, written as blocks of E and read back.
template <class E>
struct written {
    tensor<E> k{{1, 1, 1, 256}}, v{{1, 1, 1, 256}};
    tensor<float> back{{1, 1, 1, 256}}, v_back{{1, 1, 1, 256}};

    explicit written(const std::vector<float>& x)
    {
        const auto row = heed::bhsd(x.data(), {1, 1, 1, 256});
        const heed::dense_kv cache{k.view(), v.view()};
        heed::or_throw(heed::append(cache, 0, 0, row, row));
        heed::or_throw(heed::fetch(cache, 0, 0, back.view(), v_back.view()));
        REQUIRE(same_bits(back.data, v_back.data));
        REQUIRE(same_bits(k.data, v.data));
    }
};

/// |x - x^| <= scale / 2 and what floats round of the block's largest number; and no larger scale than the range takes.
template <class E>
void judge(const std::string& name, const std::vector<float>& x)
{
    const written<E> w(x);
    for (std::size_t first = 0; first < x.size(); first += heed::channels_of<E>) {
        double low = static_cast<double>(x[first]), high = low;
        for (std::size_t c = first; c < first + heed::channels_of<E>; ++c) {
            low = std::min(low, static_cast<double>(x[c]));
            high = std::max(high, static_cast<double>(x[c]));
        }
        const double step = std::max((high - low) / most<E>, 0x1p-126), largest = std::max(high, -low);
        for (std::size_t c = first; c < first + heed::channels_of<E>; ++c) {
            const double a = static_cast<double>(x[c]), b = static_cast<double>(w.back.data[c]);
            if (!(std::fabs(a - b) <= step * (0.5 + 1e-4) + 0x1p-22 * largest))
                FAIL(name << ": channel " << c << ", " << a << " is read as " << b << " in [" << low << ", " << high
                          << "]");
        }
    }
}

std::vector<float> row_of(double low, double high, std::uint64_t seed)
{
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> number(low, high);
    std::vector<float> x(256);
    for (float& one : x) one = static_cast<float>(number(random));
    return x;
}

}  // namespace

TEST_CASE("blocks with a zero point have the bytes of OpenVINO: scale, zero point, numbers; u4 has even ones above")
{
    const auto eights = block_of<u8_block<32>>(
        0.5f, 3.25f, [](std::size_t i) -> unsigned char { return static_cast<unsigned char>(255 - 8 * i); });
    for (int c = 0; c < 32; ++c) REQUIRE(eights[c] == 0.5f * (static_cast<float>(255 - 8 * c) - 3.25f));

    const auto fours = block_of<u4_block<32>>(
        -2, 7.5f, [](std::size_t i) -> unsigned char { return static_cast<unsigned char>(i << 4 | (15 - i)); });
    for (int i = 0; i < 16; ++i) {
        REQUIRE(fours[2 * i] == -2 * (static_cast<float>(i) - 7.5f));
        REQUIRE(fours[2 * i + 1] == -2 * (static_cast<float>(15 - i) - 7.5f));
    }
    static_assert(sizeof(u8_block<128>) == 136 && sizeof(u4_block<128>) == 72);
    static_assert(heed::elements_for<const u4_block<64>>(128) == 2);
    static_assert(!heed::element_traits<u8_block<64>>::holds_integers);
}

TEMPLATE_TEST_CASE("registers hold what the channels of a block with a zero point are, in its row and one lane a row",
                   "", u8_block<32>, u8_block<128>, u4_block<32>, u4_block<96>)
{
    using E = TestType;
    using columns = heed::micro::transposed<float, E>;
    constexpr int lanes = heed::simd::vec<float>::lanes;
    const auto same = [](float is, heed::simd::vec<float> given, int lane) {
        float x[lanes];
        heed::simd::store(x, given);
        return equal_bits(is, x[lane]);
    };
    std::mt19937_64 random(5);
    int wrong = 0;
    for (int turn = 0; turn < 300; ++turn) {
        std::vector<E> rows(3 * lanes);  // every third is one of the rows
        for (E& row : rows) draw(random, row);
        if (turn % 10 == 0) rows[0].scale = turn % 20 == 0 ? 0 : 1e30f;
        if (turn % 15 == 0) rows[0].zero = 0x1p30f + 0.5f;
        for (int c = 0; c < heed::channels_of<E>; c += lanes)
            for (int i = 0; i < lanes; ++i)
                wrong += !same(rows[0][c + i], heed::micro::load_channels<float>(rows.data(), c), i);
        columns before{};
        for (int c = 0; c < heed::channels_of<E>; c += columns::channels) {
            const columns here(rows.data(), c, std::int64_t{3 * sizeof(E)}, before);  // in bytes
            for (int i = 0; i < columns::channels; ++i)
                for (int j = 0; j < lanes; ++j)
                    wrong += !same(rows[static_cast<std::size_t>(3 * j)][c + i], here[i], j);
            before = here;
        }
        if (wrong != 0) FAIL("turn " << turn);
    }
    SUCCEED();
}

namespace {

/// Whether registers of M, in plain C++, hold what the channels of a block and of some rows are.
template <class E, class M>
bool held_by(const std::vector<E>& rows)
{
    using lanes = heed::simd::element_lanes<M>;
    using columns = typename heed::element_traits<E>::template columns<lanes>;
    int wrong = 0;
    float x[lanes::count];
    for (int c = 0; c < heed::channels_of<E>; c += lanes::count) {
        heed::simd::store(x, heed::element_traits<E>::template load<lanes>(rows[0], c));
        for (int i = 0; i < lanes::count; ++i) wrong += !equal_bits(x[i], rows[0][c + i]);
    }
    const columns first(rows.data(), 0, sizeof(E), columns{});
    for (int c = 0; c < columns::channels; ++c) {
        heed::simd::store(x, first[c]);
        for (std::size_t j = 0; j < lanes::count; ++j) wrong += !equal_bits(x[j], rows[j][c]);
    }
    return wrong == 0;
}

}  // namespace

TEMPLATE_TEST_CASE("four lanes in plain C++ hold what blocks with a zero point are", "", u8_block<64>, u4_block<64>)
{
    using heed::simd::machine::portable;
    std::mt19937_64 random(6);
    for (int turn = 0; turn < 50; ++turn) {
        std::vector<TestType> rows(4);
        for (TestType& row : rows) draw(random, row);
        REQUIRE(held_by<TestType, portable<16>>(rows));  // wider ones are registers that a machine may lack
    }
}

TEMPLATE_TEST_CASE("blocks with a zero point are within half of a scale, wherever their numbers lie", "", u8_block<32>,
                   u8_block<256>, u4_block<64>)
{
    using E = TestType;
    for (const double width : {1e-44, 1e-39, 1e-37, 1e-20, 1e-6, 1e-2, 1., 300., 1e20, 1e38})
        for (const double shift : {0., -0.5, -1., 0.25, 3., -77., 5e6})
            for (std::uint64_t seed = 0; seed < 5; ++seed)
                if (std::fabs(shift) * width < 1e38)
                    judge<E>(std::to_string(width) + " from " + std::to_string(shift),
                             row_of(shift * width, (shift + 1) * width, seed));
    std::vector<float> one_far = row_of(-1, 1, 7);
    for (const float far : {1e4f, -1e30f, 0x1.fffffep126f, -0x1.fffffep126f}) {
        one_far[200] = far;
        judge<E>("one of " + std::to_string(far), one_far);
    }
    one_far[201] = -one_far[200];
    judge<E>("both ends", one_far);
}

TEMPLATE_TEST_CASE("a block with a zero point keeps equal numbers, and reaches from its lowest to its highest", "",
                   u8_block<64>, u4_block<64>)
{
    using E = TestType;
    for (const float x : {0.f, 1.f, -3.7f, 1e-44f, -1e30f}) {
        const written<E> w(std::vector<float>(256, x));
        for (const float y : w.back.data) REQUIRE(y == x);
    }
    std::vector<float> x = row_of(-1, 3, 9);
    x[70] = -1.5f, x[100] = 4.5f;
    const written<E> w(x);
    const E& block = w.k.data[1];
    REQUIRE(block.scale == 6 / static_cast<float>(most<E>));
    REQUIRE(block.zero == 1.5f / block.scale);
    REQUIRE((block[6] == Approx(-1.5) && block[36] == Approx(4.5)));
}

TEMPLATE_TEST_CASE("NaN, Inf and what is too large make NaN of their block with a zero point, and of nothing else", "",
                   u8_block<64>, u4_block<64>)
{
    const std::vector<float> clean = row_of(-1, 3, 4);
    const written<TestType> without(clean);
    for (const float bad : {nan_f, inf_f, -inf_f, 0x1p127f, -0x1p127f})
        for (const std::size_t at : {std::size_t{0}, std::size_t{100}, std::size_t{255}}) {
            CAPTURE(bad, at);
            std::vector<float> x = clean;
            x[at] = bad;
            const written<TestType> with(x);
            for (std::size_t c = 0; c < 256; ++c)
                REQUIRE((c / 64 == at / 64 ? std::isnan(with.back.data[c])
                                           : equal_bits(with.back.data[c], without.back.data[c])));
        }
}

TEST_CASE("rows that are no whole blocks with a zero point, or leave their alignment, are refused, and null ones")
{
    std::vector<u8_block<64>> k(64);
    std::vector<u4_block<32>> v(64);
    const tensor<float> q = normal<float>({1, 1, 1, 64}, 1);
    tensor<float> out({1, 1, 1, 64}, -7);
    const auto refused = [&](const heed::view<const u8_block<64>>& keys, const heed::view<const u4_block<32>>& values,
                             const char* why) {
        const heed::status s = heed::attend(heed::softmax{}, q.in(), heed::dense_kv{keys, values}, out.view());
        REQUIRE(!s);
        REQUIRE_THAT(s.message(), Contains(why));
        for (const float x : out.data) REQUIRE(x == -7);
    };
    const heed::view<const u8_block<64>> keys = heed::bhsd(k.data(), {1, 1, 8, 64});
    const heed::view<const u4_block<32>> values = heed::bhsd(v.data(), {1, 1, 8, 64});
    refused({k.data(), {1, 1, 8, 96}, {0, 0, 2}}, values, "dim 96 is not a multiple of the 64 channels of a block");
    refused(heed::strided_bytes(static_cast<const u8_block<64>*>(k.data()), {1, 1, 8, 64}, {0, 0, 74}), values,
            "a stride of 74 bytes leaves the alignment of its 72-byte blocks");
    refused(keys, {nullptr, values.size, values.stride}, "data is null");
    refused(keys, {v.data(), {1, 1, 7, 64}, {0, 0, 2}}, "tokens 7");
    tensor<float> rows({1, 1, 2, 64}, 1);
    const heed::status s =
        heed::append(heed::dense_kv{heed::bhsd(k.data(), {1, 1, 8, 64}), heed::bhsd(v.data(), {1, 1, 8, 64})}, 0, 7,
                     rows.in(), rows.in());
    REQUIRE(!s);
    for (const auto& block : k) REQUIRE(block.scale == 0);
    for (const auto& block : v) REQUIRE(block.scale == 0);
}
