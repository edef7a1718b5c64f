// SPDX-License-Identifier: MIT
// Speculative tokens that are appended and taken back: caches must attend to what is there, not to rejected drafts.
#include "pages.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace test;

namespace {

constexpr int64 capacity = 32, last = 100, drafts = 5, hq = 4, hkv = 2, dim = 16;

/// Rows of 105 tokens, the last ones to be rejected, and another row for token 100.
struct story {
    tensor<float> k = normal<float>({1, hkv, last + drafts, dim}, 1),
                  v = normal<float>({1, hkv, last + drafts, dim}, 2);
    tensor<float> q = normal<float>({1, hq, 1, dim}, 3);
    tensor<float> new_k = normal<float>({1, hkv, 1, dim}, 4), new_v = normal<float>({1, hkv, 1, dim}, 5);

    /// Appends 0 to 99 one by one, then all drafts at once, and token 100 again. cache(length) is the cache so far.
    template <class Cache>
    void tell(Cache cache) const
    {
        for (int64 t = 0; t < last; ++t)
            heed::or_throw(heed::append(cache(t + 1), 0, t, tokens(k.in(), t, 1), tokens(v.in(), t, 1)));
        heed::or_throw(
            heed::append(cache(last + drafts), 0, last, tokens(k.in(), last, drafts), tokens(v.in(), last, drafts)));
        heed::or_throw(heed::append(cache(last + 1), 0, last, new_k.in(), new_v.in()));
    }
    /// What attention over the true tokens [first, 101) gives.
    template <class Def>
    std::vector<float> truth(const Def& def, int64 first) const
    {
        tensor<float> all_k = k, all_v = v, out({1, hq, 1, dim});
        for (int64 h = 0; h < hkv; ++h) {
            std::copy_n(new_k.in().row(0, h, 0), dim, all_k.view().row(0, h, last));
            std::copy_n(new_v.in().row(0, h, 0), dim, all_v.view().row(0, h, last));
        }
        const auto there = heed::attend_where([first](int64, int64, int64, int64 key) { return key >= first; });
        heed::or_throw(heed::attend(heed::attention{def, heed::causal{}, there}, q.in(),
                                    tokens(all_k.in(), 0, last + 1), tokens(all_v.in(), 0, last + 1), out.view()));
        return out.data;
    }
    template <class Def, class Cache>
    std::vector<float> seen(const Def& def, const Cache& cache) const
    {
        tensor<float> out({1, hq, 1, dim});
        heed::or_throw(heed::attend(def, q.in(), cache, out.view()));
        return out.data;
    }
};

heed::index_view list(const std::vector<int64>& x) { return {x.data(), static_cast<int64>(x.size())}; }

}  // namespace

TEST_CASE("a ring that is told its first token does not attend to rejected drafts")
{
    const story s;
    tensor<float> k({1, hkv, capacity, dim}), v({1, hkv, capacity, dim});
    std::vector<int64> length(1);
    const std::vector<int64> firsts{last + drafts - capacity};  // 73
    const auto ring = [&](int64 so_far) {
        length[0] = so_far;
        return heed::ring_kv{k.view(), v.view(), list(length), list(firsts)};
    };
    const heed::ring_kv untold{k.view(), v.view(), list(length)};
    s.tell([&](int64 so_far) {
        length[0] = so_far;
        return untold;
    });
    const auto told = ring(last + 1);
    REQUIRE(told.held(0).first == 73);
    REQUIRE(told.held(0).end == 101);
    REQUIRE(untold.held(0).first == 69);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    REQUIRE(same_bits(s.seen(def, told), s.truth(heed::softmax{}, 73)));
    REQUIRE(same_bits(s.seen(heed::attention{heed::softpick{}}, told), s.truth(heed::softpick{}, 73)));

    // Without it a ring of window + drafts tokens has them all.
    const heed::attention windowed{heed::causal{} & heed::window{.left = capacity - drafts - 1}};
    REQUIRE(same_bits(s.seen(windowed, untold), s.truth(heed::softmax{}, last + 1 - (capacity - drafts))));

    // Tokens that are gone are neither fetched nor written.
    tensor<float> back_k({1, hkv, 28, dim}), back_v = back_k;
    heed::or_throw(heed::fetch(told, 0, 73, back_k.view(), back_v.view()));
    for (int64 h = 0; h < hkv; ++h)
        for (int64 t = 73; t <= last; ++t)
            REQUIRE(std::equal(back_k.in().row(0, h, t - 73), back_k.in().row(0, h, t - 73) + dim,
                               t == last ? s.new_k.in().row(0, h, 0) : s.k.in().row(0, h, t)));
    const heed::status gone = heed::fetch(told, 0, 72, tokens(back_k.view(), 0, 1), tokens(back_v.view(), 0, 1));
    REQUIRE(std::string(gone.message()) ==
            "fetch: sequence 0: 1 tokens from position 72 on; the cache holds [73, 101)");
    REQUIRE(!heed::append(told, 0, 72, s.new_k.in(), s.new_v.in()));

    // Once the sequence is longer than it ever was, its length says as much.
    REQUIRE(ring(last + drafts + 1).held(0).first == last + drafts + 1 - capacity);
}

TEST_CASE("a scaled ring knows its first token as well")
{
    const story s;
    tensor<std::int8_t> k({1, hkv, capacity, dim}), v({1, hkv, capacity, dim});
    tensor<float> k_scales({1, hkv, capacity, 1}), v_scales({1, hkv, capacity, 1});
    std::vector<int64> length(1);
    const std::vector<int64> firsts{last + drafts - capacity};
    const auto cache = [&](heed::index_view from) {
        return heed::scaled_kv{heed::ring_kv{k.view(), v.view(), list(length), from}, heed::per_token{k_scales.view()},
                               heed::per_token{v_scales.view()}};
    };
    s.tell([&](int64 so_far) {
        length[0] = so_far;
        return cache({});
    });
    const heed::attention def{heed::causal{}};
    tensor<float> held_k({1, hkv, 28, dim}), held_v = held_k, out({1, hq, 1, dim});
    heed::or_throw(heed::fetch(cache(list(firsts)), 0, 73, held_k.view(), held_v.view()));
    heed::or_throw(heed::attend(def, s.q.in(), held_k.in(), held_v.in(), out.view()));
    const std::vector<float> seen = s.seen(def, cache(list(firsts)));
    for (std::size_t i = 0; i < seen.size(); ++i) REQUIRE(std::fabs(seen[i] - out.data[i]) < 1e-6f);
    REQUIRE(!same_bits(seen, s.seen(def, cache({}))));
}

TEST_CASE("dense and paged caches forget rejected drafts with their length")
{
    const story s;
    std::vector<int64> length(1);
    tensor<float> k({1, hkv, 112, dim}), v({1, hkv, 112, dim});
    const heed::dense_kv dense{k.view(), v.view(), list(length)};
    s.tell([&](int64 so_far) {
        length[0] = so_far;
        return dense;
    });
    const heed::attention def{heed::causal{}};
    REQUIRE(same_bits(s.seen(def, dense), s.truth(heed::softmax{}, 0)));

    const std::vector<int64> pages{3, 0, 6, 5, 1, 2, 4};
    tensor<float> k_pool({7, hkv, 16, dim}), v_pool({7, hkv, 16, dim});
    const heed::paged_kv paged{k_pool.view(), v_pool.view(), heed::page_table::padded(list(pages), 7, list(length))};
    s.tell([&](int64 so_far) {
        length[0] = so_far;
        return paged;
    });
    REQUIRE(same_bits(s.seen(def, paged), s.truth(heed::softmax{}, 0)));
}

TEST_CASE("the first tokens of a ring are as many as its sequences, and any number is sound")
{
    tensor<float> k({2, hkv, 8, dim}), v({2, hkv, 8, dim}), q({2, hq, 1, dim}), out({2, hq, 1, dim});
    const std::vector<int64> lengths{20, 3};
    const auto ring = [&](heed::index_view firsts) { return heed::ring_kv{k.view(), v.view(), list(lengths), firsts}; };
    const heed::attention def;
    const std::vector<int64> three(3);
    heed::status s = heed::attend(def, q.in(), ring(list(three)), out.view());
    REQUIRE(std::string(s.message()) == "ring_kv: 3 firsts for 2 sequences");
    s = heed::attend(def, q.in(), ring({static_cast<const int64*>(nullptr), 2}), out.view());
    REQUIRE(std::string(s.message()) == "ring_kv: 2 firsts at null for 2 sequences");
    constexpr int64 least = std::numeric_limits<int64>::min(), most = std::numeric_limits<int64>::max();
    for (const auto& [a, b] : {std::pair{least, int64{0}}, {most, int64{0}}, {int64{15}, most}}) {
        const std::vector<int64> firsts{a, b};
        REQUIRE(heed::attend(def, q.in(), ring(list(firsts)), out.view()));
        const heed::token_span first = ring(list(firsts)).held(0), second = ring(list(firsts)).held(1);
        REQUIRE(first.first == (a == least ? 12 : a == most ? 20 : 15));
        REQUIRE(second.first == (b == most ? 3 : 0));
    }
}
