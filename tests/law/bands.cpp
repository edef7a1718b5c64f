// SPDX-License-Identifier: MIT
// Decode takes kv heads together where their rows of a token lie side by side: [token][head][channel] has the bits of
// [head][token][channel], whatever the number of heads and rows, the gaps, the mask, the cuts and the bytes of a
// stride. So have pages in which heads lie behind each other.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

using namespace test;

namespace {

/// The rows of `of` as [token][head][channel], each followed by `gap` numbers that are NaN.
template <class T>
class by_token {
public:
    by_token(const tensor<T>& of, int64 gap) : gap_(gap), size_(of.size), row_(of.size.dim + gap)
    {
        data_.assign(static_cast<std::size_t>(size_.batch * size_.heads * size_.tokens * row_),
                     T(std::numeric_limits<float>::quiet_NaN()));
        for (int64 b = 0; b < size_.batch; ++b)
            for (int64 h = 0; h < size_.heads; ++h)
                for (int64 t = 0; t < size_.tokens; ++t)
                    std::copy_n(of.in().row(b, h, t), size_.dim,
                                data_.data() + ((b * size_.tokens + t) * size_.heads + h) * row_);
    }
    heed::view<const T> in() const
    {
        return heed::strided<const T>(data_.data(), size_,
                                      {size_.tokens * size_.heads * row_, row_, size_.heads * row_});
    }

private:
    int64 gap_;
    heed::extents size_;
    int64 row_;
    std::vector<T> data_;
};

/// The rows of `of` as [page][head][slot][channel], pages in the reverse order; slots that no token has are NaN. A gap
/// of numbers follows the rows of a head.
class by_page {
public:
    by_page(const tensor<float>& of, const std::vector<int64>& lengths, int64 slots, int64 gap)
        : slots_(slots), head_(slots * of.size.dim + gap), size_{0, of.size.heads, slots, of.size.dim}
    {
        for (const int64 n : lengths) {
            most_ = std::max(most_, (n + slots - 1) / slots);
            size_.batch += (n + slots - 1) / slots;
        }
        data_.assign(static_cast<std::size_t>(size_.batch * size_.heads * head_),
                     std::numeric_limits<float>::quiet_NaN());
        table_.assign(lengths.size() * static_cast<std::size_t>(most_), -1);
        int64 free = size_.batch;
        for (std::size_t b = 0; b < lengths.size(); ++b)
            for (int64 t = 0; t < lengths[b]; ++t) {
                int64& page = table_[b * static_cast<std::size_t>(most_) + static_cast<std::size_t>(t / slots)];
                if (t % slots == 0) page = --free;
                for (int64 h = 0; h < size_.heads; ++h)
                    std::copy_n(of.in().row(static_cast<int64>(b), h, t), size_.dim,
                                data_.data() + (page * size_.heads + h) * head_ + t % slots * size_.dim);
            }
    }
    heed::view<const float> in() const
    {
        return heed::strided<const float>(data_.data(), size_, {size_.heads * head_, head_, size_.dim});
    }
    heed::page_table table(const heed::index_view& lengths) const
    {
        return heed::page_table::padded(heed::index_view(table_.data(), static_cast<int64>(table_.size())), most_,
                                        lengths);
    }

private:
    int64 slots_, head_, most_ = 0;
    heed::extents size_;
    std::vector<float> data_;
    std::vector<int64> table_;
};

template <class Def, class T, class Kv>
std::vector<T> outputs(const Def& def, const problem<T>& p, const Kv& kv, const heed::options<float>& how = {})
{
    tensor<T> out(p.out_size(), T(-7.f));
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

TEST_CASE("bf16 rows side by side, multiples of 2 KB apart, have the bits of heads apart")
{
    const problem<heed::bf16> p(1, 32, 8, 1, 700, 128, 128);
    const by_token k(p.k, 0), v(p.v, 0);
    const heed::attention def{heed::softmax{}};
    REQUIRE(same_bits(outputs(def, p, heed::dense_kv{k.in(), v.in()}),
                      outputs(def, p, heed::dense_kv{p.k.in(), p.v.in()})));
}

TEST_CASE("heads behind each other in every page have the bits of heads apart")
{
    heed::thread_pool pool(3);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    for (const auto& [heads, group, queries, dim] : {std::tuple<int64, int64, int64, int64>{8, 1, 1, 32},
                                                     {8, 4, 1, 64},
                                                     {3, 1, 3, 33},
                                                     {34, 1, 1, 16},
                                                     {5, 2, 2, 300}})
        for (const int64 slots : {1, 5, 16, 64}) {
            const problem<float> p(3, heads * group, heads, queries, 1203, dim, dim);
            for (const std::vector<int64>& lengths : {std::vector<int64>{1203, 40, 9}, {530, 512, 3}}) {
                const heed::index_view n(lengths.data(), 3);
                const std::vector<float> expected = outputs(def, p, heed::dense_kv{p.k.in(), p.v.in(), n});
                for (const int64 gap : {0, 16}) {
                    CAPTURE(heads, group, queries, dim, slots, gap);
                    const by_page k(p.k, lengths, slots, gap), v(p.v, lengths, slots, gap);
                    const heed::paged_kv pages{k.in(), v.in(), k.table(n)};
                    REQUIRE(same_bits(outputs(def, p, pages), expected));
                    REQUIRE(same_bits(outputs(def, p, pages, {.executor = pool}), expected));
                }
            }
        }
}

TEST_CASE("a table of pages in which heads lie behind each other takes them together, where the machine does")
{
    const problem<float> p(2, 8, 8, 1, 320, 64, 64);
    const std::vector<int64> lengths{320, 300};
    const heed::index_view n(lengths.data(), 2);
    const heed::attention def{heed::softmax{}};
    const auto tasks_of = [&](int64 gap) {
        const by_page k(p.k, lengths, 16, gap), v(p.v, lengths, 16, gap);
        const heed::plan plan(def, p.q.in(), heed::paged_kv{k.in(), v.in(), k.table(n)});
        return plan.tasks(plan.stages() - 1);
    };
    REQUIRE(tasks_of(16) == 16);
    const int64 together = tasks_of(0);
    REQUIRE((together == 16 || together == 2));  // AVX-512 of AMD's
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
