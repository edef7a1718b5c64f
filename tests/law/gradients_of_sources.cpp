// SPDX-License-Identifier: MIT
// Where keys and values lie changes no bit of a gradient: pages, rings and quantised caches have those that each
// sequence has alone, over the numbers that are read from them.
#include "channel_blocks.hpp"
#include "gradients.hpp"
#include "pages.hpp"
#include "quantised.hpp"

#include <heed/executor/threads.hpp>
#include <heed/kv/left_padded.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

constexpr int64 heads = 4, kv_heads = 2, key_dim = 32, value_dim = 64;
/// A batch whose sequences have so many of the tokens of k and v, with what attend leaves of each alone.
struct ragged_batch {
    std::vector<int64> lengths, lost;  // lost: the first of each
    int64 queries = 70;
    gradient_problem<float> p;
    heed::attention<heed::softmax1, heed::causal, heed::scale> def{heed::softmax1{}, heed::causal{}, heed::scale{0.25}};
    forward_pass<float> f;
    owned_gradients<float> expected;

    ragged_batch(std::vector<int64> n, std::vector<int64> gone, const tensor<float>& k, const tensor<float>& v)
        : lengths(std::move(n)), lost(std::move(gone)),
          p(problem<float>(k.size.batch, heads, kv_heads, queries, k.size.tokens, key_dim, value_dim)),
          f{tensor<float>(p.out_size()), std::vector<float>(rows()), std::vector<float>(rows())},
          expected(def, p.q.size, {k.size.batch, kv_heads, longest(), key_dim},
                   {k.size.batch, kv_heads, longest(), value_dim}, 0)
    {
        p.k = k, p.v = v;
        for (int64 b = 0; b < k.size.batch; ++b) add_sequence(b);
    }
    std::size_t rows() const { return static_cast<std::size_t>(p.q.size.batch * heads * queries); }
    int64 longest() const { return *std::max_element(lengths.begin(), lengths.end()); }

    void add_sequence(int64 b)
    {
        const int64 first = lost[static_cast<std::size_t>(b)], n = lengths[static_cast<std::size_t>(b)] - first;
        const auto k = tokens(sequence(p.k, b, first + n), first, n), v = tokens(sequence(p.v, b, first + n), first, n);
        const auto q = sequence(p.q, b, queries), dout = sequence(p.dout, b, queries);
        const auto line = static_cast<std::size_t>(b * heads * queries);
        const heed::view<float> out{f.out.view().row(b, 0, 0), {1, heads, queries, value_dim}, f.out.view().stride};
        const heed::row_statistics<float> stats{f.shift.data() + line, f.mass.data() + line, nullptr};
        heed::or_throw(heed::attend(def, q, k, v, out, {.stats = stats}));
        const auto part = [b](tensor<float>& t, int64 from, int64 count) {
            return heed::view<float>{t.view().row(b, 0, from), {1, t.size.heads, count, t.size.dim}, t.view().stride};
        };
        heed::gradients<float> to;
        to.dq = part(expected.dq, 0, queries), to.dk = part(expected.dk, first, n), to.dv = part(expected.dv, first, n);
        heed::or_throw(heed::backward(def, q, k, v, heed::view<const float>(out), stats, dout, to));
    }
    /// Whether a source has these gradients, in one thread and in three.
    template <class Kv>
    void check(const Kv& kv) const
    {
        heed::thread_pool pool(3);
        for (const bool alone : {true, false}) {
            owned_gradients<float> g(def, p.q.size, expected.dk.size, expected.dv.size);
            heed::gradients<float> to = g.all();
            to.dlog_offset = nullptr;
            heed::options<float> how;
            if (!alone) how.executor = pool;
            heed::or_throw(
                heed::backward(def, p.q.in(), kv, heed::output_gradients{f.out.in(), f.stats(), p.dout.in()}, to, how));
            g.dlog_offset = expected.dlog_offset;
            REQUIRE(g == expected);
        }
    }
};

const std::vector<int64> some_lengths{430, 0, 77, 801}, none_lost{0, 0, 0, 0};

/// The numbers of stored rows, times the scales of their tokens.
template <class E>
tensor<float> scaled(const tensor<E>& rows, const tensor<float>& scales)
{
    tensor<float> x = widened(rows);
    for (int64 b = 0; b < x.size.batch; ++b)
        for (int64 h = 0; h < x.size.heads; ++h)
            for (int64 t = 0; t < x.size.tokens; ++t)
                for (int64 c = 0; c < x.size.dim; ++c) x.view().row(b, h, t)[c] *= *scales.in().row(b, h, t);
    return x;
}

}  // namespace

TEST_CASE("keys and values in pages, in rings and left-padded have the gradients of two views, by position")
{
    tensor<float> k = normal<float>({4, kv_heads, 801, key_dim}, 2);
    tensor<float> v = normal<float>({4, kv_heads, 801, value_dim}, 3);
    for (int64 b = 1; b < 4; ++b)  // 50 tokens in common, in pages that are listed four times
        for (int64 h = 0; h < kv_heads; ++h) {
            std::copy_n(k.in().row(0, h, 0), 50 * key_dim, k.view().row(b, h, 0));
            std::copy_n(v.in().row(0, h, 0), 50 * value_dim, v.view().row(b, h, 0));
        }
    const ragged_batch of(some_lengths, none_lost, k, v);
    for (const int64 slots : {1, 16, 512}) {
        const paged<float> pages(k, v, some_lengths, slots, layout::page_slot_head, 50);
        of.check(pages.source(pages.csr()));
    }
    of.check(heed::dense_kv{k.in(), v.in(), some_lengths});

    const std::vector<int64> lost{0, 0, 0, 401};  // a tile and some keys
    const ragged_batch kept(some_lengths, lost, k, v);
    const tensor<float> k_ring = in_ring(k, some_lengths, 430), v_ring = in_ring(v, some_lengths, 430);
    const std::vector<int64> firsts{0, 0, 0, 401};
    kept.check(heed::ring_kv{k_ring.in(), v_ring.in(), some_lengths, firsts});

    const std::vector<int64> starts{371, 801, 724, 0};
    tensor<float> k_left({4, kv_heads, 801, key_dim}, -9.f), v_left({4, kv_heads, 801, value_dim}, -9.f);
    for (int64 b = 0; b < 4; ++b)
        for (int64 h = 0; h < kv_heads; ++h) {
            const int64 n = some_lengths[static_cast<std::size_t>(b)], first = starts[static_cast<std::size_t>(b)];
            std::copy_n(k.in().row(b, h, 0), n * key_dim, k_left.view().row(b, h, first));
            std::copy_n(v.in().row(b, h, 0), n * value_dim, v_left.view().row(b, h, first));
        }
    of.check(heed::left_padded_kv{k_left.in(), v_left.in(), starts});
}

TEST_CASE("quantised keys and values have the gradients of the numbers that are read")
{
    SECTION("blocks of ggml, in pages")
    {
        const auto k = drawn_elements<heed::q8_0>({4, kv_heads, 801, key_dim}, 2);
        const auto v = drawn_elements<heed::q4_0>({4, kv_heads, 801, value_dim}, 3);
        const ragged_batch of(some_lengths, none_lost, widened(k), widened(v));
        const page_lists lists(some_lengths, 16);
        const page_pool<heed::q8_0> keys(lists, k, layout::page_head_slot);
        const page_pool<heed::q4_0> values(lists, v, layout::page_head_slot);
        of.check(heed::paged_kv{keys.in(), values.in(), lists.csr()});
    }
    SECTION("whole numbers with scales of tokens")
    {
        const auto k = drawn_elements<std::int8_t>({4, kv_heads, 801, key_dim}, 2);
        const auto v = drawn_elements<std::int8_t>({4, kv_heads, 801, value_dim}, 3);
        const auto ks = drawn_scales({4, kv_heads, 801, 1}, 4, 0.01), vs = drawn_scales({4, kv_heads, 801, 1}, 5, 0.01);
        const ragged_batch of(some_lengths, none_lost, scaled(k, ks), scaled(v, vs));
        of.check(heed::scaled_kv{heed::dense_kv{k.in(), v.in(), some_lengths}, heed::per_token{ks.in()},
                                 heed::per_token{vs.in()}});
    }
    SECTION("codes with scales and zero points of channels in blocks of tokens")
    {
        const tensor<float> v = normal<float>({4, kv_heads, 801, value_dim}, 3);
        key_blocks<8> stored({4, kv_heads, 801, key_dim}, 32);
        std::mt19937_64 random(8);
        for (auto* t : {&stored.scale, &stored.zero})
            for (float& x : t->data) x = std::uniform_real_distribution<float>(0.5f, 1.5f)(random) / 64;
        for (auto& x : stored.codes.data)
            for (std::uint8_t& code : x.q) code = static_cast<std::uint8_t>(random());
        tensor<float> numbers = widened(stored.codes);
        for (int64 b = 0; b < 4; ++b)
            for (int64 h = 0; h < kv_heads; ++h)
                for (int64 t = 0; t < 801; ++t)
                    for (int64 c = 0; c < key_dim; ++c) {
                        float& x = numbers.view().row(b, h, t)[c];
                        x = (x - stored.zero.in().row(b, h, t / 32)[c]) * stored.scale.in().row(b, h, t / 32)[c];
                    }
        const ragged_batch of(some_lengths, none_lost, numbers, v);
        of.check(stored.dense(v.in(), some_lengths));
    }
}
