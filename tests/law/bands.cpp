// SPDX-License-Identifier: MIT
// Decode takes kv heads together where their rows of a token lie side by side: [token][head][channel] has the bits of
// [head][token][channel], whatever the number of heads and rows, the gaps, the mask, the cuts and the bytes of a
// stride.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

using namespace test;

namespace {

/// The rows of `of` as [token][head][channel], each followed by `gap` numbers that are NaN.
class by_token {
public:
    by_token(const tensor<float>& of, int64 gap) : gap_(gap), size_(of.size), row_(of.size.dim + gap)
    {
        data_.assign(static_cast<std::size_t>(size_.batch * size_.heads * size_.tokens * row_),
                     std::numeric_limits<float>::quiet_NaN());
        for (int64 b = 0; b < size_.batch; ++b)
            for (int64 h = 0; h < size_.heads; ++h)
                for (int64 t = 0; t < size_.tokens; ++t)
                    std::copy_n(of.in().row(b, h, t), size_.dim,
                                data_.data() + ((b * size_.tokens + t) * size_.heads + h) * row_);
    }
    heed::view<const float> in() const
    {
        return heed::strided<const float>(data_.data(), size_,
                                          {size_.tokens * size_.heads * row_, row_, size_.heads * row_});
    }

private:
    int64 gap_;
    heed::extents size_;
    int64 row_;
    std::vector<float> data_;
};

template <class Def, class Kv>
std::vector<float> outputs(const Def& def, const problem<float>& p, const Kv& kv, const heed::options<float>& how = {})
{
    tensor<float> out(p.out_size(), -7.f);
    heed::or_throw(heed::attend(def, p.q.in(), kv, out.view(), how));
    return out.data;
}

template <class Def>
void heads_side_by_side_change_nothing(const Def& def)
{
    heed::thread_pool pool(3);
    for (const auto& [heads, group, queries, dim, gap] : {std::tuple<int64, int64, int64, int64, int64>{2, 1, 1, 32, 0},
                                                          {8, 4, 1, 64, 0},
                                                          {8, 1, 3, 33, 0},
                                                          {6, 3, 4, 40, 7},
                                                          {34, 1, 1, 16, 1},
                                                          {3, 13, 1, 16, 0},
                                                          {5, 2, 2, 300, 0}}) {
        CAPTURE(heads, group, queries, dim, gap);
        const problem<float> p(2, heads * group, heads, queries, 1203, dim, dim);
        const by_token k(p.k, gap), v(p.v, gap);
        for (const std::vector<int64>& lengths : {std::vector<int64>{1203, 1203}, {1100, 7}}) {
            const heed::index_view n(lengths.data(), 2);
            const heed::dense_kv apart{p.k.in(), p.v.in(), n}, together{k.in(), v.in(), n};
            const std::vector<float> expected = outputs(def, p, apart);
            REQUIRE(same_bits(outputs(def, p, together), expected));
            REQUIRE(same_bits(outputs(def, p, together, {.executor = pool}), expected));
            heed::options<float> how;
            how.least_tasks = 5;
            REQUIRE(same_bits(outputs(def, p, together, how), expected));
        }
    }
}

}  // namespace

TEST_CASE("heads whose rows of a token lie side by side have the bits of heads apart")
{
    SECTION("softmax, causal") { heads_side_by_side_change_nothing(heed::attention{heed::softmax{}, heed::causal{}}); }
    SECTION("of which some attend other tiles than others, and few keys have a weight")
    {
        // Head h of a group begins at key 200 h, and every fifth attends to nothing.
        heads_side_by_side_change_nothing(heed::attention{heed::softpick{}, heed::scale{3.f},
                                                          heed::attend_where{[](int64, int64 head, int64, int64 key) {
                                                              return head % 5 != 4 && key >= 200 * (head % 4);
                                                          }}});
    }
}

TEST_CASE("tasks of heads taken together: as many as workers and hosts ask for, and one where nobody asks")
{
    const problem<float> p(1, 32, 8, 1, 1200, 64, 64);
    const by_token k(p.k, 0), v(p.v, 0);
    const heed::attention def{heed::softmax{}};
    const heed::dense_kv together{k.in(), v.in()}, apart{p.k.in(), p.v.in()};
    if (heed::plan(def, p.q.in(), together).tasks(0) == 8) return;  // a machine that takes heads one by one
    REQUIRE(heed::plan(def, p.q.in(), together).tasks(0) == 1);
    REQUIRE(heed::plan(def, p.q.in(), apart).tasks(0) == 8);
    for (const int least : {2, 3, 8, 100}) {
        heed::options<float> how;
        how.least_tasks = least;
        REQUIRE(heed::plan(def, p.q.in(), together, how).tasks(0) >= std::min(least, 8));
    }
    heed::thread_pool pool(2);
    REQUIRE(heed::plan(def, p.q.in(), together, {.executor = pool}).tasks(0) >= 8);
}

TEST_CASE("quantised rows at any stride in bytes have the bits of dense ones, decode and prefill, written by append")
{
    const int64 heads = 4, dim = 64, tokens = 700, blocks = dim / 32;
    for (const int64 queries : {1, 40}) {
        const problem<float> p(1, 2 * heads, heads, queries, tokens, dim, dim);
        std::vector<heed::q8_0> k(static_cast<std::size_t>(heads * tokens * blocks)), v(k.size());
        const heed::dense_kv dense{heed::bhsd(k, p.k.size), heed::bhsd(v, p.v.size)};
        heed::or_throw(heed::append(dense, 0, 0, p.k.in(), p.v.in()));
        const heed::attention def{heed::softmax{}, heed::causal{}};
        const std::vector<float> expected = outputs(def, p, dense);
        for (const bool token_first : {false, true})
            for (const int64 pad : {0, 2, 34, 60}) {
                CAPTURE(queries, token_first, pad);
                const int64 row = blocks * 34 + pad;
                const heed::strides at =
                    token_first ? heed::strides{0, row, heads * row} : heed::strides{0, tokens * row, row};
                std::vector<std::uint16_t> bytes_k(static_cast<std::size_t>(heads * tokens * row / 2 + 1), 0xffff),
                    bytes_v(bytes_k.size(), 0xffff);  // gaps are NaN
                const auto padded = [&](std::vector<std::uint16_t>& bytes, const heed::extents& size) {
                    return heed::strided_bytes(reinterpret_cast<heed::q8_0*>(bytes.data() + 1), size, at);
                };
                const heed::dense_kv cache{padded(bytes_k, p.k.size), padded(bytes_v, p.v.size)};
                heed::or_throw(heed::append(cache, 0, 0, p.k.in(), p.v.in()));
                REQUIRE(bytes_k[static_cast<std::size_t>(row / 2 - pad / 2)] != 0xffff);
                REQUIRE((pad == 0 || bytes_k[static_cast<std::size_t>(row / 2)] == 0xffff));
                REQUIRE(same_bits(outputs(def, p, cache), expected));
            }
    }
}

TEST_CASE("a stride in bytes that leaves the alignment of blocks is refused, as is one that is no whole element")
{
    std::vector<heed::q8_0> blocks(400);
    std::vector<float> q(64), out(64), numbers(400);
    const auto queries = heed::bhsd<const float>(q.data(), {1, 1, 1, 32});
    const auto to = heed::bhsd(out.data(), {1, 1, 1, 32});
    const auto odd = heed::strided_bytes(blocks.data(), {1, 1, 3, 32}, {0, 0, 35});
    const heed::status refused = heed::attend(heed::softmax{}, queries, odd, odd, to);
    REQUIRE(std::strstr(refused.message(), "a stride of 35 bytes leaves the alignment of its 34-byte blocks"));
    const auto even = heed::strided_bytes(blocks.data(), {1, 1, 3, 32}, {0, 0, 36});
    REQUIRE(heed::attend(heed::softmax{}, queries, even, even, to));
    REQUIRE(heed::strided_bytes(numbers.data(), {1, 1, 3, 32}, {0, 0, 130}).size.dim == 0);
    REQUIRE(heed::strided_bytes(numbers.data(), {1, 1, 3, 32}, {0, 0, 132}).stride.tokens == 33);
    REQUIRE(heed::strided_bytes(numbers.data(), {1, 1, 1, 32}, {3, 3, 3}).size.dim == 32);
}
