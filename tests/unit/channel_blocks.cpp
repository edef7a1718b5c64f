// SPDX-License-Identifier: MIT
// Scales and zero points of channels in blocks of tokens: which are refused, which tokens append() writes, what it
// rounds to, and what NaN reaches.
#include "../channel_blocks.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <string>

using namespace test;
using Catch::Matchers::Contains;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();

template <class Scales>
heed::status attend_with(const Scales& scales)
{
    static const tensor<heed::codes<8>> k({1, 2, 40, 32});
    static const tensor<float> v({1, 2, 40, 4}, 1), q({1, 2, 1, 32}, 1);
    tensor<float> out({1, 2, 1, 4}, 5);
    const heed::status s =
        heed::attend(heed::attention{heed::softmax{}}, q.in(),
                     heed::scaled_kv{heed::dense_kv{k.in(), v.in()}, scales, heed::unscaled{}}, out.view());
    if (!s) REQUIRE(same_bits(out.data, tensor<float>(out.size, 5).data));
    return s;
}

/// Keys of one head of 32 channels, dense, in blocks of n tokens.
struct one_head {
    key_blocks<4> k;
    tensor<float> v, rows;

    one_head(int64 count, int64 n, std::uint64_t seed = 3)
        : k({1, 1, count, 32}, n), v({1, 1, count, 4}), rows(normal<float>({1, 1, count, 32}, seed))
    {}
    heed::status append(int64 first, int64 count, int64 held = -1)
    {
        const std::int64_t length[]{held < 0 ? v.size.tokens : held};
        const tensor<float> values({1, 1, count, 4}, 2);
        return heed::append(heed::scaled_kv{heed::dense_kv{k.codes.view(), v.view(), heed::index_view{length, 1}},
                                            k.scales(), heed::unscaled{}},
                            0, first, tokens(rows.in(), first, count), values.in());
    }
    tensor<float> fetched()
    {
        tensor<float> x(rows.size), values(v.size);
        heed::or_throw(heed::fetch(k.dense(v.view()), 0, 0, x.view(), values.view()));
        return x;
    }
};

}  // namespace

TEST_CASE("scales of blocks that do not fit the rows are refused")
{
    tensor<float> good({1, 2, 3, 32}, 1);
    const auto with = [&](heed::view<const float> scale, heed::view<const float> zero, int64 n) {
        return attend_with(heed::per_channel_block{scale, zero, n});
    };
    REQUIRE(with(good.in(), good.in(), 16));
    const auto says = [&](const heed::status& s, const char* text) {
        REQUIRE(!s);
        REQUIRE_THAT(std::string(s.message()), Contains(text));
    };
    says(with(good.in(), good.in(), 32), "scaled_kv: k scale: [1, 2, 3, 32], must be [1, 2, 2, 32]");
    says(with(good.in(), good.in(), 24), "scaled_kv: blocks of 24 tokens; they have 16, or a multiple of it");
    says(with(good.in(), good.in(), 0), "scaled_kv: blocks of 0 tokens; they have 16, or a multiple of it");
    auto other = good.in();
    other.size.dim = 31;
    says(with(good.in(), other, 16), "scaled_kv: k zero: [1, 2, 3, 31], must be [1, 2, 3, 32]");
    other = good.in();
    other.data = nullptr;
    says(with(other, good.in(), 16), "k scale.data is null");
    says(with(good.in(), other, 16), "k zero.data is null");

    const std::int32_t page[]{0};
    const std::int64_t length[]{3};
    const tensor<heed::codes<8>> k({1, 2, 40, 32});
    const tensor<float> v({1, 2, 40, 4}, 1), q({1, 2, 1, 32}, 1);
    tensor<float> out({1, 2, 1, 4}, 5);
    says(heed::attend(
             heed::attention{}, q.in(),
             heed::scaled_kv{heed::paged_kv{k.in(), v.in(), heed::page_table::padded({page, 1}, 1, {length, 1})},
                             heed::per_channel_block{good.in(), good.in(), 16}, heed::unscaled{}},
             out.view()),
         "scaled_kv: blocks of 16 tokens in pages of 40");
}

TEST_CASE("append writes blocks of tokens from their first token to their last, or to the last one held")
{
    one_head of(40, 16);
    REQUIRE(of.append(0, 40));
    const auto codes = of.k.codes.data;
    const auto scale = of.k.scale.data;
    for (const auto& [first, count] : std::vector<std::array<int64, 2>>{{8, 8}, {0, 15}, {1, 39}, {16, 9}}) {
        const heed::status s = of.append(first, count);
        REQUIRE(!s);
        REQUIRE_THAT(
            std::string(s.message()),
            Contains("append: tokens [" + std::to_string(first) + ", " + std::to_string(first + count) +
                     ") of 40 held: a block of 16 tokens is written from its first token to its last, or to the "
                     "last one held"));
        REQUIRE(std::memcmp(codes.data(), of.k.codes.data.data(), codes.size() * sizeof codes[0]) == 0);
        REQUIRE(same_bits(scale, of.k.scale.data));
    }
    // block by block, the last one token by token as they come: what was appended at once
    one_head grown(40, 16);
    REQUIRE(grown.append(0, 16, 16));
    REQUIRE(grown.append(16, 16, 32));
    for (int64 held = 33; held <= 40; ++held) REQUIRE(grown.append(32, held - 32, held));
    REQUIRE(same_bits(grown.fetched().data, of.fetched().data));
}

TEST_CASE("codes are within half of a scale of what was appended, and equal numbers are kept")
{
    one_head of(48, 16);
    for (int64 t = 0; t < 48; ++t) {
        float* row = of.rows.view().row(0, 0, t);
        row[0] = 7.25f;  // the same in all blocks
        row[1] *= 1000;
        row[2] += 100;
        row[3] = t == 17 ? nan_f : row[3];
        row[4] = t == 47 ? -std::numeric_limits<float>::infinity() : row[4];
    }
    REQUIRE(of.append(0, 48));
    const tensor<float> back = of.fetched();
    for (int64 t = 0; t < 48; ++t)
        for (int64 c = 0; c < 32; ++c) {
            double low = HUGE_VAL, high = -HUGE_VAL, most = 0;
            for (int64 s = t / 16 * 16; s < t / 16 * 16 + 16; ++s) {
                const double x = static_cast<double>(of.rows.in().row(0, 0, s)[c]);
                low = std::fmin(low, x), high = std::fmax(high, x), most = std::fmax(most, std::fabs(x));
            }
            const double x = static_cast<double>(of.rows.in().row(0, 0, t)[c]),
                         got = static_cast<double>(back.in().row(0, 0, t)[c]);
            INFO("token " << t << ", channel " << c);
            if ((c == 3 && t / 16 == 1) || (c == 4 && t / 16 == 2)) REQUIRE(std::isnan(got));
            else if (c == 0) REQUIRE(got == 7.25);
            else REQUIRE(std::fabs(x - got) <= (high - low) / 15 * 0.5001 + 0x1p-22 * most);
        }
}

TEST_CASE("a token's codes are set without its neighbours")
{
    heed::codes<4> four{};
    heed::codes<8> eight{};
    for (int c = 0; c < 32; ++c) four.set(c, c % 16), eight.set(c, 250 - c);
    for (int c = 31; c >= 0; --c) four.set(c, 15 - c % 16);
    for (int c = 0; c < 32; ++c) {
        REQUIRE(four.code(c) == 15 - c % 16);
        REQUIRE(four[c] == static_cast<float>(15 - c % 16));
        REQUIRE(eight[c] == static_cast<float>(250 - c));
        REQUIRE(four.q[c / 2] == ((15 - c / 2 * 2 % 16) << 4 | (14 - c / 2 * 2 % 16)));
    }
    static_assert(sizeof four == 16 && sizeof eight == 32);
}
