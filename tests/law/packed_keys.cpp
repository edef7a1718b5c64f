// SPDX-License-Identifier: MIT
// Keys packed one sequence after the other, or behind padding, have the bits of each sequence alone; nothing between
// the sequences is read.
#include "pages.hpp"

#include <heed/append.hpp>
#include <heed/executor/threads.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

heed::index_view list(const std::vector<int64>& v) { return {v.data(), static_cast<int64>(v.size())}; }

/// Sequences of other lengths, and what each alone gives for its last rows, packed.
struct ragged {
    std::vector<int64> lengths{1203, 0, 513, 80}, queries{7, 3, 1, 40}, bounds{0, 7, 10, 11, 51};
    problem<float> p{4, 4, 2, 51, 1203, 40, 24};
    tensor<float> q{{1, 4, 51, 40}}, expected{{1, 4, 51, 24}, -7};

    template <class Def>
    explicit ragged(const Def& def)
    {
        for (int64 b = 0; b < 4; ++b) {
            const int64 n = queries[static_cast<std::size_t>(b)], first = bounds[static_cast<std::size_t>(b)];
            for (int64 h = 0; h < 4; ++h) std::copy_n(p.q.in().row(b, h, 0), n * 40, q.view().row(0, h, first));
            const int64 keys = lengths[static_cast<std::size_t>(b)];
            heed::or_throw(heed::attend(def, tokens(sequence(p.q, b, 51), 0, n), sequence(p.k, b, keys),
                                        sequence(p.v, b, keys), tokens(expected.view(), first, n)));
        }
    }
    /// The tokens of a sequence from slot `slot` of line `line` on.
    template <class F>
    tensor<float> placed(const tensor<float>& rows, heed::extents size, F at) const
    {
        tensor<float> to(size, NAN);
        for (int64 b = 0; b < 4; ++b)
            for (int64 h = 0; h < 2; ++h)
                for (int64 t = 0; t < lengths[static_cast<std::size_t>(b)]; ++t) {
                    const auto [line, slot] = at(b, t);
                    std::copy_n(rows.in().row(b, h, t), rows.size.dim, to.view().row(line, h, slot));
                }
        return to;
    }
};

template <class Def, class Kv>
void has_bits(const Def& def, const ragged& x, const Kv& kv)
{
    for (const int threads : {1, 3}) {
        heed::thread_pool pool(threads);
        tensor<float> out(x.expected.size, -9);
        heed::or_throw(heed::attend(def, heed::packed{x.q.in(), list(x.bounds)}, kv, out.view(), {.executor = pool}));
        REQUIRE(same_bits(out.data, x.expected.data));
    }
}

}  // namespace

TEST_CASE("packed keys and keys behind padding have the bits of each sequence alone")
{
    const heed::attention def{heed::softpick{}, heed::causal{} & heed::window{700}};
    const ragged x(def);
    const std::vector<int64> whole{0, 1203, 1203, 1716, 1796}, roomy{5, 1300, 1310, 1900, 2000};
    const auto in = [&](const std::vector<int64>& cu, int64 tokens, const tensor<float>& rows) {
        return x.placed(rows, {1, 2, tokens, rows.size.dim}, [&](int64 b, int64 t) {
            return std::pair<int64, int64>{0, cu[static_cast<std::size_t>(b)] + t};
        });
    };
    const tensor<float> k = in(whole, 1796, x.p.k), v = in(whole, 1796, x.p.v);
    has_bits(def, x, heed::packed_kv{k.in(), v.in(), list(whole)});
    const tensor<float> wide_k = in(roomy, 2007, x.p.k), wide_v = in(roomy, 2007, x.p.v);
    has_bits(def, x, heed::packed_kv{wide_k.in(), wide_v.in(), list(roomy), list(x.lengths)});

    const std::vector<int64> starts{0, 1203, 690, 1123}, early{1, 1210, 3, 9}, ends{1204, 1210, 516, 89};
    const auto behind = [&](const std::vector<int64>& first, int64 slots, const tensor<float>& rows) {
        return x.placed(rows, {4, 2, slots, rows.size.dim}, [&](int64 b, int64 t) {
            return std::pair<int64, int64>{b, first[static_cast<std::size_t>(b)] + t};
        });
    };
    const tensor<float> right_k = behind(starts, 1203, x.p.k), right_v = behind(starts, 1203, x.p.v);
    has_bits(def, x, heed::left_padded_kv{right_k.in(), right_v.in(), list(starts)});
    const tensor<float> some_k = behind(early, 1210, x.p.k), some_v = behind(early, 1210, x.p.v);
    has_bits(def, x, heed::left_padded_kv{some_k.in(), some_v.in(), list(early), list(ends)});
}

TEST_CASE("append writes into packed keys and behind padding what fetch reads, and nothing beside it")
{
    const std::vector<int64> cu{2, 5, 5, 12}, lengths{3, 0, 4}, starts{4, 0, 1}, ends{9, 2, 9};
    const tensor<float> rows = normal<float>({1, 2, 2, 8}, 3), other = normal<float>({1, 2, 2, 8}, 4);
    const auto check = [&](const auto& cache, tensor<float>& k, int64 b, int64 position, int64 line, int64 slot) {
        tensor<float> expected = k, back({1, 2, 2, 8}), v_back({1, 2, 2, 8});
        for (int64 h = 0; h < 2; ++h)
            for (int64 t = 0; t < 2; ++t)
                std::copy_n(rows.in().row(0, h, t), 8, expected.view().row(line, h, slot + t));
        REQUIRE(heed::append(cache, b, position, rows.in(), other.in()));
        REQUIRE(same_bits(k.data, expected.data));
        REQUIRE(heed::fetch(cache, b, position, back.view(), v_back.view()));
        REQUIRE((same_bits(back.data, rows.data) && same_bits(v_back.data, other.data)));
        REQUIRE(!heed::append(cache, b, cache.held(b).end - 1, rows.in(), other.in()));
        REQUIRE(!heed::append(cache, b, -1, rows.in(), other.in()));
        REQUIRE(same_bits(k.data, expected.data));
    };
    tensor<float> k({1, 2, 13, 8}, 7), v({1, 2, 13, 8}, 7);
    check(heed::packed_kv{k.view(), v.view(), list(cu), list(lengths)}, k, 2, 1, 0, 6);
    tensor<float> k3({3, 2, 9, 8}, 7), v3({3, 2, 9, 8}, 7);
    check(heed::left_padded_kv{k3.view(), v3.view(), list(starts), list(ends)}, k3, 0, 3, 0, 7);
}
