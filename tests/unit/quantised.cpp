// SPDX-License-Identifier: MIT
// Quantised elements, bit by bit, and how near to a float what append() writes of it is.
#include "quantised.hpp"

#include <heed/append.hpp>
#include <heed/engine/micro/transpose.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;
using heed::fp8_e4m3, heed::fp8_e5m2, heed::iq4_nl, heed::q4_0, heed::q4_1, heed::q5_0, heed::q5_1, heed::q8_0;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();
const float inf_f = std::numeric_limits<float>::infinity();
const float largest_float = std::numeric_limits<float>::max(),
            smallest_float = std::numeric_limits<float>::denorm_min();

/// E4M3 by its definition: bias 7; exponent 15 holds numbers, too, but for one NaN.
double by_definition(fp8_e4m3 x)
{
    const int fraction = x.bits & 7, exponent = x.bits >> 3 & 15;
    const double sign = x.bits & 0x80 ? -1 : 1;
    if (exponent == 15 && fraction == 7) return std::numeric_limits<double>::quiet_NaN();
    return sign * (exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10));
}
/// E5M2 by its definition: bias 15; exponent 31 holds infinity and NaN.
double by_definition(fp8_e5m2 x)
{
    const int fraction = x.bits & 3, exponent = x.bits >> 2 & 31;
    const double sign = x.bits & 0x80 ? -1 : 1;
    if (exponent == 31)
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::quiet_NaN();
    return sign * (exponent == 0 ? std::ldexp(fraction, -16) : std::ldexp(4 + fraction, exponent - 17));
}
template <class E>
E of_code(int code)
{
    E x;
    x.bits = static_cast<std::uint8_t>(code);
    return x;
}
/// The nearest of all finite numbers, of two the even one, found by looking at each.
template <class E>
int nearest(float x)
{
    const double m = std::min(std::fabs(static_cast<double>(x)), 1e6);  // beyond all of them, and not beyond a double
    int best = 0;
    for (int code = 1; std::isfinite(by_definition(of_code<E>(code))); ++code) {
        const double here = std::fabs(by_definition(of_code<E>(code)) - m),
                     there = std::fabs(by_definition(of_code<E>(best)) - m);
        if (here < there || (here <= there && code % 2 == 0)) best = code;
    }
    return best | (std::signbit(x) ? 0x80 : 0);
}

/// A row of floats and a name for it.
struct named_row {
    std::string name;
    std::vector<float> x;
};

/// Rows up to `most` in magnitude, down to numbers that the scale of a row can hardly tell from 0.
std::vector<named_row> rows_up_to(float most, int64 dim)
{
    std::vector<named_row> rows;
    const auto add = [&](const std::string& name, auto number) {
        named_row r{name, std::vector<float>(static_cast<std::size_t>(dim))};
        for (int64 c = 0; c < dim; ++c) r.x[static_cast<std::size_t>(c)] = static_cast<float>(number(c));
        rows.push_back(r);
    };
    std::mt19937_64 random(3);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform(-1, 1);
    const double top = static_cast<double>(most);
    for (const double spread : {1e-44, 1e-42, 1e-39, 1e-37, 1e-12, 1e-8, 1e-7, 1e-6, 1e-4, 1e-2, 1., 1e3})
        for (int i = 0; i < 20; ++i)
            add("normal, " + std::to_string(spread), [&](int64) { return spread * normal(random); });
    for (int i = 0; i < 50; ++i) add("uniform", [&](int64) { return uniform(random); });
    for (int i = 0; i < 50; ++i) {
        const double m = std::exp(uniform(random) * 9);
        add("positive", [&](int64) { return m * std::fabs(uniform(random)); });
        add("negative", [&](int64) { return -m * std::fabs(uniform(random)); });
        add("one end longer",
            [&](int64 c) { return m * (c % 3 ? uniform(random) : 0.94 * std::fabs(uniform(random))); });
    }
    for (const double sign : {1., -1.})
        for (const double huge : {1e4, top / 2, top})
            add("one of " + std::to_string(huge), [&](int64 c) { return c == 17 ? sign * huge : normal(random); });
    for (const double m : {static_cast<double>(smallest_float), 1e-40, 1e-5, 1., top / 3, top * (1 - 0x1p-20), top})
        add("alternating " + std::to_string(m), [&](int64 c) { return c % 2 ? m : -m; });
    for (int i = 1; i < 1500; ++i)  // steps of the smallest float: no scale is between one and two of them
        add(std::to_string(i) + " smallest", [&](int64 c) {
            return (c == 5 ? i : static_cast<int>(random() % static_cast<unsigned>(i + 1))) *
                   static_cast<double>(smallest_float);
        });
    for (int i = 0; i < 300; ++i)  // the same of f16
        add(std::to_string(i) + " smallest of f16",
            [&](int64 c) { return (c == 5 ? i : i * uniform(random)) * 0x1p-24; });
    return rows;
}

heed::view<const float> row_view(const std::vector<float>& x)
{
    return heed::bhsd(x.data(), {1, 1, 1, static_cast<int64>(x.size())});
}

/// One row, written and read back, and the scale beside it.
template <class E>
struct written {
    tensor<E> element;
    tensor<float> scale{{1, 1, 1, 1}, -7};
    std::vector<float> back;

    explicit written(const std::vector<float>& x) : back(x.size(), -7)
    {
        const auto dim = static_cast<int64>(x.size());
        element = tensor<E>({1, 1, 1, dim});
        tensor<E> v({1, 1, 1, dim});
        tensor<float> v_scale({1, 1, 1, 1}), v_back({1, 1, 1, dim});
        const heed::dense_kv rows{element.view(), v.view()};
        const auto both = [&](const auto& cache) {
            heed::or_throw(heed::append(cache, 0, 0, row_view(x), row_view(x)));
            heed::or_throw(heed::fetch(cache, 0, 0, heed::bhsd(back.data(), {1, 1, 1, dim}), v_back.view()));
        };
        if constexpr (heed::channels_of < E >> 1) both(rows);
        else both(heed::scaled_kv{rows, heed::per_token{scale.view()}, heed::per_token{v_scale.view()}});
        REQUIRE(same_bits(back, v_back.data));  // values are written as keys are
        REQUIRE(same_bits(element.data, v.data));
    }
};

double largest_of(const float* x, int64 n)
{
    double most = 0;
    for (int64 c = 0; c < n; ++c) most = std::max(most, std::fabs(static_cast<double>(x[c])));
    return most;
}

/// |x - x^| <= scale / 2, but for the roundings of x / scale and of scale q.
void within_half(const std::string& name, const float* x, const float* back, int64 n, double scale)
{
    for (int64 c = 0; c < n; ++c) {
        const double a = static_cast<double>(x[c]), b = static_cast<double>(back[c]);
        if (!(std::fabs(a - b) <= std::fabs(scale) / 2 + 0x1p-22 * std::fabs(a)))
            FAIL(name << ": channel " << c << ", " << a << " is read as " << b << ", with scale " << scale);
    }
}

}  // namespace

TEMPLATE_TEST_CASE("every code of fp8 widens to what its definition says, and comes back", "", fp8_e4m3, fp8_e5m2)
{
    using E = TestType;
    std::vector<E> every(256);
    std::vector<float> wide(256);
    for (int code = 0; code < 256; ++code) every[static_cast<std::size_t>(code)] = of_code<E>(code);
    constexpr int lanes = heed::simd::vec<float>::lanes;
    for (std::size_t i = 0; i < 256; i += lanes) heed::simd::store(&wide[i], heed::simd::load_as<float>(&every[i]));
    for (int code = 0; code < 256; ++code) {
        CAPTURE(code);
        const float x = of_code<E>(code);
        const double expected = by_definition(of_code<E>(code));
        if (std::isnan(expected)) {
            REQUIRE(std::isnan(x));
            REQUIRE(std::isnan(wide[static_cast<std::size_t>(code)]));
            REQUIRE(std::isnan(static_cast<float>(E(x))));
        } else {
            REQUIRE(x == static_cast<float>(expected));
            REQUIRE(std::signbit(x) == (code >= 0x80));
            REQUIRE(std::memcmp(&x, &wide[static_cast<std::size_t>(code)], sizeof x) == 0);
            REQUIRE(E(x).bits == (std::isinf(x) ? code - 1 : code));  // the largest number, which is the code below
        }
        for (int n = 1; n < lanes; ++n) {  // parts of a register, too, with 0 behind them
            float part[lanes];
            const E one = of_code<E>(code), same[lanes] = {one, one, one, one};
            heed::simd::store(part, heed::simd::load_as_n<float>(same, std::min(n, 4)));
            for (int i = 0; i < lanes; ++i)
                REQUIRE((i >= std::min(n, 4) ? part[i] == 0 : std::isnan(x) ? std::isnan(part[i]) : part[i] == x));
        }
    }
}

TEMPLATE_TEST_CASE("floats round to the nearest fp8, ties to even, and to its largest number beyond that", "", fp8_e4m3,
                   fp8_e5m2)
{
    using E = TestType;
    const float most = std::is_same_v<E, fp8_e4m3> ? 448.f : 57344.f;
    std::vector<float> x{1e30f, largest_float, inf_f, smallest_float, 0x1p-10f, 0x1p-17f, 0};
    for (const float by : {1.f, 1.002f, 1.035f, 15.f / 14, 1.08f, 1.2f}) x.push_back(most * by);
    for (int code = 0; of_code<E>(code + 1) <= most; ++code) {
        const float a = of_code<E>(code), b = of_code<E>(code + 1), middle = (a + b) / 2;
        for (const float y : {a, middle, std::nextafter(middle, inf_f), std::nextafter(middle, 0.f)}) x.push_back(y);
    }
    REQUIRE(x.size() > 4 * 120);
    std::mt19937_64 random(2);
    std::uniform_real_distribution<double> exponent(-21, 17);
    for (int i = 0; i < 20000; ++i) x.push_back(static_cast<float>(std::exp2(exponent(random))));
    for (const float y : x)
        for (const float z : {y, -y})
            if (E(z).bits != nearest<E>(z))
                FAIL(z << " rounds to code " << int{E(z).bits} << ", not " << nearest<E>(z));
    for (const float y : {nan_f, -nan_f, heed::detail::float_of(0x7f800001u)})
        REQUIRE(std::isnan(static_cast<float>(E(y))));
}

TEST_CASE("blocks have the bytes of ggml: the scale as f16, then the numbers; q4_0 has the first 16 in lower halves")
{
    std::array<unsigned char, 34> bytes8{0x00, 0xc0};  // -2
    for (int i = 0; i < 32; ++i) bytes8[static_cast<std::size_t>(2 + i)] = static_cast<unsigned char>(i * 8 - 128);
    q8_0 block8;
    static_assert(sizeof block8 == sizeof bytes8);
    std::memcpy(&block8, bytes8.data(), sizeof block8);
    for (int c = 0; c < 32; ++c) REQUIRE(block8[c] == static_cast<float>(-2 * (c * 8 - 128)));

    std::array<unsigned char, 18> bytes4{0x00, 0x38};  // 0.5
    for (int i = 0; i < 16; ++i)
        bytes4[static_cast<std::size_t>(2 + i)] = static_cast<unsigned char>(i << 4 | (15 - i));
    q4_0 block4;
    static_assert(sizeof block4 == sizeof bytes4);
    std::memcpy(&block4, bytes4.data(), sizeof block4);
    for (int c = 0; c < 16; ++c) {
        REQUIRE(block4[c] == 0.5f * static_cast<float>(15 - c - 8));
        REQUIRE(block4[c + 16] == 0.5f * static_cast<float>(c - 8));
    }

    // q5_0: half of (0, 1, ... 31) - 16 in channels 0, 2, ... 30, 1, 3, ... 31: the low halves of the bytes from 0 on
    // in steps of two, the high ones from 1 on; every number is at least 16 in the channels 8 to 15 and 24 to 31.
    std::array<unsigned char, 22> bytes5{0x00, 0x38, 0x00, 0xff, 0x00, 0xff};
    for (int i = 0; i < 16; ++i)
        bytes5[static_cast<std::size_t>(6 + i)] = static_cast<unsigned char>(2 * i % 16 | (2 * i % 16 + 1) << 4);
    q5_0 block5;
    static_assert(sizeof block5 == sizeof bytes5);
    std::memcpy(&block5, bytes5.data(), sizeof block5);
    for (int c = 0; c < 16; ++c) {
        REQUIRE(block5[c] == 0.5f * static_cast<float>(2 * c - 16));
        REQUIRE(block5[c + 16] == 0.5f * static_cast<float>(2 * c + 1 - 16));
    }

    // the same bytes behind a lowest number of -3, without the 16 that is taken off
    std::array<unsigned char, 24> bytes51{0x00, 0x38, 0x00, 0xc2};
    std::copy(bytes5.begin() + 2, bytes5.end(), bytes51.begin() + 4);
    q5_1 block51;
    static_assert(sizeof block51 == sizeof bytes51);
    std::memcpy(&block51, bytes51.data(), sizeof block51);
    std::array<unsigned char, 20> bytes41{0x00, 0x38, 0x00, 0xc2};
    std::copy(bytes4.begin() + 2, bytes4.end(), bytes41.begin() + 4);
    q4_1 block41;
    static_assert(sizeof block41 == sizeof bytes41);
    std::memcpy(&block41, bytes41.data(), sizeof block41);
    iq4_nl levels;
    static_assert(sizeof levels == sizeof bytes4);
    std::memcpy(&levels, bytes4.data(), sizeof levels);
    const float level[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    for (int c = 0; c < 16; ++c) {
        REQUIRE(block51[c] == 0.5f * static_cast<float>(2 * c) - 3);
        REQUIRE(block51[c + 16] == 0.5f * static_cast<float>(2 * c + 1) - 3);
        REQUIRE(block41[c] == 0.5f * static_cast<float>(15 - c) - 3);
        REQUIRE(block41[c + 16] == 0.5f * static_cast<float>(c) - 3);
        REQUIRE(levels[c] == 0.5f * level[15 - c]);
        REQUIRE(levels[c + 16] == 0.5f * level[c]);
    }

    const heed::view<q8_0> rows = heed::bhsd<q8_0>(nullptr, {2, 3, 5, 96});  // steps are in blocks
    REQUIRE((rows.stride.tokens == 3 && rows.stride.heads == 15 && rows.stride.batch == 45 && rows.size.dim == 96));
    const heed::view<q4_0> turned = heed::bshd<q4_0>(nullptr, {2, 3, 5, 64});
    REQUIRE((turned.stride.heads == 2 && turned.stride.tokens == 6 && turned.stride.batch == 30));
    REQUIRE((heed::elements_for<const q4_0>(64) == 2 && heed::elements_for<std::int8_t>(64) == 64));
}

namespace {

template <class E>
void set_scale(E& block, std::uint16_t bits)
{
    block.d.bits = bits;
    if constexpr (std::is_same_v<E, q4_1> || std::is_same_v<E, q5_1>) block.m.bits = bits ^ 0xb402u;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("registers hold what the channels of a block are, in its row and one lane a row", "",
                        test::blocks)
{
    using E = TestType;
    using columns = heed::micro::transposed<float, E>;
    constexpr int lanes = heed::simd::vec<float>::lanes;
    constexpr std::uint16_t scales[] = {0x3c00, 0xb4a7, 0x0001, 0x83ff, 0x7bff, 0, 0x3800};
    std::vector<E> rows(3 * lanes);  // every third is one of the rows
    int wrong = 0;
    const auto compare = [&wrong](float is, heed::simd::vec<float> given, int lane) {
        float x[lanes];
        heed::simd::store(x, given);
        wrong += std::memcmp(&is, x + lane, sizeof is) != 0;
    };
    for (int pair = 0; pair < 1 << 16; ++pair) {  // of bytes, all around the block
        for (std::size_t j = 0; j < rows.size(); ++j) {
            unsigned char bytes[sizeof(E)];
            for (std::size_t i = 0; i < sizeof(E); ++i)
                bytes[i] = static_cast<unsigned char>((i % 2 ? pair >> 8 : pair) + 37 * static_cast<int>(i / 2 + j));
            std::memcpy(&rows[j], bytes, sizeof(E));
            set_scale(rows[j], scales[(static_cast<std::size_t>(pair) + j) % 7]);
        }
        const E& block = rows[0];
        const auto c0 = pair % heed::channels_of<E> / lanes * lanes;
        const heed::simd::vec<float> x = heed::micro::load_channels<float>(&block, c0);
        for (int i = 0; i < lanes; ++i) compare(block[static_cast<int>(c0) + i], x, i);

        columns before{};
        for (int c = 0; c < heed::channels_of<E>; c += columns::channels) {
            const columns here(rows.data(), c, std::int64_t{3 * sizeof(E)}, before);  // of blocks, in bytes
            for (int i = pair % 5; i < columns::channels; i += 5)
                compare(rows[static_cast<std::size_t>(3 * (pair % lanes))][c + i], here[i], pair % lanes);
            before = here;
        }
        if (wrong != 0) FAIL("bytes " << (pair & 255) << " and " << (pair >> 8));
    }
    SUCCEED();
}

TEMPLATE_TEST_CASE("registers hold what numbers of one byte are, one lane a row", "", std::int8_t, fp8_e4m3, fp8_e5m2)
{
    using E = TestType;
    constexpr int lanes = heed::simd::vec<float>::lanes;
    std::vector<E> rows(static_cast<std::size_t>(lanes) * 19);
    for (int byte = 0; byte < 256; ++byte) {
        for (std::size_t i = 0; i < rows.size(); ++i) {
            const auto b = static_cast<unsigned char>(static_cast<std::size_t>(byte) + 37 * i);
            std::memcpy(&rows[i], &b, 1);
        }
        const heed::micro::transposed<float, E> columns(rows.data(), 3, 19);
        for (int c = 0; c < 16; ++c) {
            float x[lanes];
            heed::simd::store(x, columns[c]);
            for (int j = 0; j < lanes; ++j)
                if (const float is = heed::channel_of(&rows[static_cast<std::size_t>(19 * j)], 3 + c);
                    !(std::isnan(is) ? std::isnan(x[j]) : std::memcmp(&is, x + j, sizeof is) == 0))
                    FAIL("byte " << byte << ", channel " << c << ", row " << j << ": " << x[j] << ", not " << is);
        }
    }
    SUCCEED();
}

TEST_CASE("int8 is within half of the scale of its row, which is no larger than that takes")
{
    for (const auto& [name, x] : rows_up_to(largest_float, 96)) {
        const written<std::int8_t> w(x);
        const float scale = w.scale.data[0];
        const double most = largest_of(x.data(), 96);
        within_half(name, x.data(), w.back.data(), 96, static_cast<double>(scale));
        if (!(static_cast<double>(scale) <= most / 127 * (1 + 0x1p-22) + static_cast<double>(smallest_float)))
            FAIL(name << ": scale " << scale << " for numbers up to " << most);
    }
    SUCCEED();
}

TEST_CASE("blocks are within half of their scale, which is no larger than that takes")
{
    const float half = 65504.f;
    for (const auto& [name, x] : rows_up_to(127.5f * half, 96)) {
        const written<q8_0> w(x);
        for (int64 b = 0; b < 3; ++b) {
            const double d = static_cast<double>(static_cast<float>(w.element.data[static_cast<std::size_t>(b)].d));
            within_half(name + ", q8_0", x.data() + 32 * b, w.back.data() + 32 * b, 32, d);
            if (!(d <= largest_of(x.data() + 32 * b, 32) / 127 * (1 + 0x1p-10) + 0x1p-24))
                FAIL(name << ": " << d << " for numbers up to " << largest_of(x.data() + 32 * b, 32));
        }
    }
    /// Of `steps` steps and a half to one end and one less to the other: 1/steps of the larger end, or 1/(steps - 1/2)
    /// of the smaller one.
    const auto with_a_longer_end = [half](auto element, const std::string& format, double steps) {
        for (const auto& [name, x] : rows_up_to(static_cast<float>(steps - 0.5) * half, 96)) {
            const written<decltype(element)> w(x);
            for (int64 b = 0; b < 3; ++b) {
                const double d = static_cast<double>(static_cast<float>(w.element.data[static_cast<std::size_t>(b)].d));
                within_half(name + format, x.data() + 32 * b, w.back.data() + 32 * b, 32, d);
                double high = 0, low = 0;
                for (int64 c = 32 * b; c < 32 * b + 32; ++c) {
                    high = std::max(high, static_cast<double>(x[static_cast<std::size_t>(c)]));
                    low = std::max(low, -static_cast<double>(x[static_cast<std::size_t>(c)]));
                }
                const double takes = std::max(std::max(high, low) / steps, std::min(high, low) / (steps - 0.5));
                if (!(std::fabs(d) <= takes * (1 + 0x1p-10) + 0x1p-24))
                    FAIL(name << format << ": " << d << " for [" << -low << ", " << high << "]");
            }
        }
    };
    with_a_longer_end(q4_0(), ", q4_0", 8);
    with_a_longer_end(q5_0(), ", q5_0", 16);
    SUCCEED();
}

TEST_CASE("blocks with a lowest number are within half of their scale, and what f16 rounds of scale and lowest number")
{
    const auto with_a_lowest = [](auto element, const std::string& format, double steps) {
        for (const auto& [name, x] : rows_up_to(60000.f, 96)) {
            const written<decltype(element)> w(x);
            for (std::size_t c = 0; c < 96; ++c) {
                double low = static_cast<double>(x[c / 32 * 32]), high = low;
                for (std::size_t i = c / 32 * 32; i < c / 32 * 32 + 32; ++i) {
                    low = std::min(low, static_cast<double>(x[i]));
                    high = std::max(high, static_cast<double>(x[i]));
                }
                const double half_step = (high - low) / steps / 2, a = static_cast<double>(x[c]);
                const double rounded =
                    std::max(0x1p-11 * (high - low), steps * 0x1p-25) + std::max(0x1p-11 * std::fabs(low), 0x1p-25);
                if (!(std::fabs(static_cast<double>(w.back[c]) - a) <= (half_step + rounded) * (1 + 0x1p-18)))
                    FAIL(name << format << ": channel " << c << ", " << a << " is read as " << w.back[c] << " in ["
                              << low << ", " << high << "]");
            }
        }
    };
    with_a_lowest(q4_1(), ", q4_1", 15);
    with_a_lowest(q5_1(), ", q5_1", 31);
    SUCCEED();
}

TEST_CASE("levels of a table are within half of the widest gap, and what least squares move")
{
    for (const auto& [name, x] : rows_up_to(60000.f, 96)) {
        const written<iq4_nl> w(x);
        for (std::size_t c = 0; c < 96; ++c) {
            const double a = static_cast<double>(x[c]), most = largest_of(&x[c / 32 * 32], 32);
            // Half of 24 of 127 levels; 14 where the end without a level of 127 is as long; the scale moves by 5 %.
            if (!(std::fabs(static_cast<double>(w.back[c]) - a) <= 0.17 * most + 127 * 0x1p-25))
                FAIL(name << ": channel " << c << ", " << a << " is read as " << w.back[c] << " among " << most);
        }
    }
    SUCCEED();
}

TEMPLATE_TEST_CASE("fp8 is within half of a last place of each number or of its smallest step, by the scale of its row",
                   "", fp8_e4m3, fp8_e5m2)
{
    using E = TestType;
    const double half = std::is_same_v<E, fp8_e4m3> ? 0x1p-4 : 0x1p-3;
    const double half_step = std::is_same_v<E, fp8_e4m3> ? 0x1p-10 : 0x1p-17;
    for (const auto& [name, x] : rows_up_to(largest_float, 96)) {
        const written<E> w(x);
        const double scale = static_cast<double>(w.scale.data[0]);
        for (std::size_t c = 0; c < 96; ++c) {
            const double a = static_cast<double>(x[c]), b = static_cast<double>(w.back[c]);
            const double bound = std::max(half * std::fabs(a), half_step * scale) * (1 + 0x1p-20);
            if (!(std::fabs(a - b) <= bound + static_cast<double>(smallest_float)))
                FAIL(name << ": channel " << c << ", " << a << " is read as " << b << ", with scale " << scale);
        }
    }
    const std::vector<float> x = normal<float>({1, 1, 1, 96}, 3, 20).data;
    tensor<E> k({1, 1, 1, 96}), v({1, 1, 1, 96});
    const heed::dense_kv cache{k.view(), v.view()};  // without scales
    tensor<float> k_back({1, 1, 1, 96}), v_back({1, 1, 1, 96});
    heed::or_throw(heed::append(cache, 0, 0, row_view(x), row_view(x)));
    heed::or_throw(heed::fetch(cache, 0, 0, k_back.view(), v_back.view()));
    for (std::size_t c = 0; c < 96; ++c) REQUIRE(k.data[c].bits == nearest<E>(x[c]));
    REQUIRE(same_bits(k_back.data, widened(k).data));
    REQUIRE(same_bits(k_back.data, v_back.data));
}

TEST_CASE("zeros are 0 exactly, with scale 0")
{
    for (const float zero : {0.f, -0.f}) {
        const std::vector<float> x(64, zero);
        const auto all_zero = [](const std::vector<float>& back) {
            for (const float y : back) REQUIRE(y == 0);
        };
        const written<std::int8_t> a(x);
        const written<fp8_e4m3> b(x);
        const written<fp8_e5m2> d(x);
        all_zero(a.back);
        all_zero(b.back);
        all_zero(d.back);
        REQUIRE((a.scale.data[0] == 0 && b.scale.data[0] == 0 && d.scale.data[0] == 0));
        for_each_block([&](auto element) {
            const written<decltype(element)> w(x);
            all_zero(w.back);
            for (const auto& block : w.element.data) REQUIRE(block.d.bits == 0);
        });
        const written<q4_0> w(x);
        for (const std::uint8_t q : w.element.data[0].q) REQUIRE(q == 0x88);
    }
}

TEST_CASE("NaN and Inf make NaN of their row, or of their block, and of nothing else")
{
    const std::vector<float> clean = normal<float>({1, 1, 1, 96}, 4).data;
    for (const float bad : {nan_f, inf_f, -inf_f})
        for (const std::size_t at : {std::size_t{0}, std::size_t{40}, std::size_t{95}}) {
            CAPTURE(bad, at);
            std::vector<float> x = clean;
            x[at] = bad;
            for (const float y : written<std::int8_t>(x).back) REQUIRE(std::isnan(y));
            for (const float y : written<fp8_e4m3>(x).back) REQUIRE(std::isnan(y));
            for (const float y : written<fp8_e5m2>(x).back) REQUIRE(std::isnan(y));
            for_each_block([&](auto element) {
                const written<decltype(element)> with(x), without(clean);
                for (std::size_t c = 0; c < 96; ++c)
                    REQUIRE((c / 32 == at / 32 ? std::isnan(with.back[c])
                                               : std::memcmp(&with.back[c], &without.back[c], sizeof(float)) == 0));
            });
        }
    // The row behind one of NaN is untouched by it, and what is too large for any f16 scale is NaN.
    tensor<float> rows({1, 1, 3, 32}, 0.5f), back({1, 1, 3, 32}), v_back({1, 1, 3, 32});
    rows.view().row(0, 0, 1)[31] = nan_f;
    tensor<std::int8_t> k({1, 1, 3, 32});
    tensor<q8_0> v({1, 1, 3, 32});
    tensor<float> scale({1, 1, 3, 1});
    const heed::scaled_kv cache{heed::dense_kv{k.view(), v.view()}, heed::per_token{scale.view()}, heed::unscaled{}};
    heed::or_throw(heed::append(cache, 0, 0, rows.in(), rows.in()));
    heed::or_throw(heed::fetch(cache, 0, 0, back.view(), v_back.view()));
    for (std::size_t i = 0; i < 96; ++i) REQUIRE(std::isnan(back.data[i]) == (i / 32 == 1));
    for (std::size_t i = 0; i < 96; ++i) REQUIRE(std::isnan(v_back.data[i]) == (i / 32 == 1));
    std::vector<float> large(64, 1.f);
    large[3] = 1e7f;
    for_each_block([&](auto element) {
        const written<decltype(element)> w(large);
        for (std::size_t c = 0; c < 32; ++c) REQUIRE(std::isnan(w.back[c]));
        for (std::size_t c = 32; c < 64; ++c) REQUIRE(w.back[c] == Approx(1).margin(0.005));
    });
}

namespace {

/// Two heads of E; keys with scales of channels, values with one scale a head.
template <class E>
struct given_scales {
    tensor<E> k{{1, 2, 3, 5}}, v{{1, 2, 3, 5}};
    tensor<float> channels{{1, 2, 1, 5}}, heads{{1, 2, 1, 1}};
    tensor<float> k_rows = normal<float>({1, 2, 3, 5}, 5), v_rows = normal<float>({1, 2, 3, 5}, 6);
    tensor<float> k_back{{1, 2, 3, 5}}, v_back{{1, 2, 3, 5}};

    given_scales()
    {
        for (std::size_t i = 0; i < 10; ++i) channels.data[i] = 0.01f * static_cast<float>(i + 1);
        heads.data = {0.02f, 0.03f};
    }
    auto cache()
    {
        const heed::view<float> one{heads.data.data(), {1, 2, 3, 1}, {0, 1, 0}};
        return heed::scaled_kv{heed::dense_kv{k.view(), v.view()}, heed::per_channel{channels.in()},
                               heed::per_token{one}};
    }
    void write_and_read()
    {
        heed::or_throw(heed::append(cache(), 0, 0, k_rows.in(), v_rows.in()));
        heed::or_throw(heed::fetch(cache(), 0, 0, k_back.view(), v_back.view()));
    }
    float channel(int64 h, int64 c) const { return channels.in().row(0, h, 0)[c]; }
};

}  // namespace

TEST_CASE("given scales stay as they are, and numbers beyond them are cut off at the largest")
{
    given_scales<std::int8_t> i;
    i.k_rows.view().row(0, 1, 2)[3] = 1e6f;
    i.k_rows.view().row(0, 1, 2)[4] = -1e6f;
    i.v_rows.view().row(0, 1, 2)[0] = -largest_float;
    i.v_rows.view().row(0, 0, 0)[4] = largest_float;
    const auto channels = i.channels.data, heads = i.heads.data;
    i.write_and_read();
    REQUIRE((same_bits(i.channels.data, channels) && same_bits(i.heads.data, heads)));
    int cut_off = 0;
    for (int64 h = 0; h < 2; ++h)
        for (int64 t = 0; t < 3; ++t)
            for (int64 c = 0; c < 5; ++c)
                for (const auto& [x, back, scale] :
                     {std::tuple{i.k_rows.in().row(0, h, t)[c], i.k_back.in().row(0, h, t)[c], i.channel(h, c)},
                      {i.v_rows.in().row(0, h, t)[c], i.v_back.in().row(0, h, t)[c],
                       i.heads.data[static_cast<std::size_t>(h)]}}) {
                    CAPTURE(h, t, c, x, back, scale);
                    if (std::fabs(x / scale) > 127) {
                        REQUIRE(back == std::copysign(127 * scale, x));
                        ++cut_off;
                    } else {
                        REQUIRE(std::fabs(x - back) <= scale / 2 * (1 + 0x1p-14f));
                    }
                }
    REQUIRE(cut_off >= 4);
}

TEMPLATE_TEST_CASE("what is beyond the largest fp8 of a given scale is cut off there, and NaN stays", "", fp8_e4m3,
                   fp8_e5m2)
{
    constexpr float most = TestType::largest;
    given_scales<TestType> f;
    f.k_rows.view().row(0, 1, 2)[3] = inf_f;
    f.v_rows.view().row(0, 0, 0)[4] = -1e30f;
    f.v_rows.view().row(0, 0, 0)[3] = nan_f;
    f.write_and_read();
    REQUIRE(f.k_back.in().row(0, 1, 2)[3] == most * f.channel(1, 3));
    REQUIRE(f.v_back.in().row(0, 0, 0)[4] == -most * 0.02f);
    REQUIRE(std::isnan(f.v_back.in().row(0, 0, 0)[3]));
    REQUIRE(std::fabs(f.k_back.in().row(0, 0, 1)[2] - f.k_rows.in().row(0, 0, 1)[2]) <=
            std::fabs(f.k_rows.in().row(0, 0, 1)[2]) / (std::is_same_v<TestType, fp8_e4m3> ? 16 : 8));
}

TEST_CASE("NaN and Inf are refused in int8 with a given scale, and nothing is written")
{
    for (const float bad : {nan_f, inf_f, -inf_f})
        for (const bool in_values : {false, true}) {
            given_scales<std::int8_t> g;
            g.k.data.assign(g.k.data.size(), 99);
            g.v.data.assign(g.v.data.size(), 99);
            const auto k = g.k.data, v = g.v.data;
            (in_values ? g.v_rows : g.k_rows).view().row(0, 1, 2)[4] = bad;
            const heed::status s = heed::append(g.cache(), 0, 0, g.k_rows.in(), g.v_rows.in());
            REQUIRE(!s);
            REQUIRE(s.code() == heed::errc::invalid_argument);
            REQUIRE_THAT(std::string(s.message()), Contains(std::string("append: ") + (in_values ? "v" : "k") +
                                                            " rows: head 1, token 2: NaN or Inf"));
            REQUIRE((same_bits(g.k.data, k) && same_bits(g.v.data, v)));
        }
}
