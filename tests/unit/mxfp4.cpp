// SPDX-License-Identifier: MIT
// Blocks of E2M1 numbers with a power of two: every number of every power, in registers as out of them, and what
// append() makes of rows that are hard.
#include "quantised.hpp"

#include <heed/append.hpp>
#include <heed/engine/micro/transpose.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <cstring>

using test::int64;

namespace {

/// By the definition of MX: sign, two bits of exponent with bias 1, one of fraction.
double by_definition(int e, int code)
{
    if (e == 255) return NAN;
    const int exponent = code >> 1 & 3, fraction = code & 1;
    const double x = exponent == 0 ? 0.5 * fraction : std::ldexp(1 + 0.5 * fraction, exponent - 1);
    return (code & 8 ? -1 : 1) * std::ldexp(x, e - 127);
}

heed::mxfp4 written(const std::vector<float>& x)
{
    heed::mxfp4 k, v;
    const heed::extents one{1, 1, 1, 32};
    heed::or_throw(heed::append(heed::dense_kv{heed::bhsd(&k, one), heed::bhsd(&v, one)}, 0, 0,
                                heed::bhsd(x.data(), one), heed::bhsd(x.data(), one)));
    REQUIRE(std::memcmp(&k, &v, sizeof k) == 0);
    return k;
}

}  // namespace

TEST_CASE("mxfp4 holds the numbers of OCP's format for every power of two, in its row and one lane a row")
{
    using columns = heed::micro::transposed<float, heed::mxfp4>;
    constexpr int lanes = heed::simd::vec<float>::lanes;
    std::vector<heed::mxfp4> rows(3 * lanes);
    for (int e = 0; e < 256; ++e) {
        for (std::size_t j = 0; j < rows.size(); ++j) {
            rows[j].e = static_cast<std::uint8_t>(e + 5 * static_cast<int>(j));
            for (int i = 0; i < 16; ++i)
                rows[j].q[i] = static_cast<std::uint8_t>(17 * i + static_cast<int>(j) * 53 + e);
        }
        const columns here(rows.data(), 0, std::int64_t{3 * sizeof(heed::mxfp4)}, columns{});  // in bytes
        for (int c = 0; c < 32; ++c) {
            const heed::mxfp4& block = rows[0];
            const double number = by_definition(block.e, c < 16 ? block.q[c] & 15 : block.q[c - 16] >> 4),
                         expected = std::fabs(number) >= 0x1p128 ? std::copysign(INFINITY, number) : number;
            CAPTURE(e, c);
            if (!(expected != expected ? std::isnan(block[c]) : static_cast<double>(block[c]) == expected))
                FAIL(block[c] << " instead of " << expected);
            float x[lanes];
            heed::simd::store(x, here[c]);
            for (int j = 0; j < lanes; ++j) {
                const float is = rows[static_cast<std::size_t>(3 * j)][c];
                if (!(is != is ? x[j] != x[j] : x[j] == is)) FAIL("lane " << j << ": " << x[j] << " instead of " << is);
            }
            heed::simd::store(x, heed::micro::load_channels<float>(&block, c / lanes * lanes));
            if (!(block[c] != block[c] ? std::isnan(x[c % lanes]) : x[c % lanes] == block[c])) FAIL(x[c % lanes]);
        }
    }
}

TEST_CASE("mxfp4 is within a quarter of the largest number or less, and NaN where a number is none")
{
    std::mt19937_64 random(3);
    std::normal_distribution<float> normal;
    for (const float spread : {1e-44f, 1e-38f, 1e-36f, 1e-3f, 1.f, 1e30f})
        for (int turn = 0; turn < 100; ++turn) {
            std::vector<float> x(32);
            double most = 0;
            for (float& y : x) y = spread * normal(random), most = std::max(most, std::fabs(static_cast<double>(y)));
            const heed::mxfp4 block = written(x);
            for (std::size_t c = 0; c < 32; ++c) {
                // 8 is cut to 6; below, half of the widest step, which is 2.
                const double off =
                    std::fabs(static_cast<double>(block[static_cast<int>(c)]) - static_cast<double>(x[c]));
                if (!(off <= most / 4 + 0x1p-127)) FAIL(x[c] << " is read as " << block[static_cast<int>(c)]);
            }
        }
    std::vector<float> x(32, 1.f);
    REQUIRE((written(x).e == 125 && written(x)[31] == 1));
    x.assign(32, 0.f);
    REQUIRE((written(x).e == 0 && written(x).q[3] == 0));
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        x.assign(32, 1.f);
        x[20] = bad;
        for (int c = 0; c < 32; ++c) REQUIRE(std::isnan(written(x)[c]));
    }
}
