// SPDX-License-Identifier: MIT
// Products of integers obey the laws of caches: rounding is a function of a row and a key tile, whoever computes them.
#include "cache_laws.hpp"

#include <heed/state.hpp>

using namespace test;

namespace {

constexpr heed::compute<std::int8_t> by_16{};
constexpr heed::compute<std::int8_t, 8> by_8{};

}  // namespace

TEST_CASE("in products of integers int8 has the bits of each sequence alone")
{
    obeys_cache_laws<std::int8_t, std::int8_t>(heed::softmax{}, scaled_by_token{},
                                               {{1, 7, 33}, {3, 48, 64}, {40, 33, 45}, {200, 144, 96}}, by_16);
}

TEST_CASE("in products of 8 bits q8_0 keys and q4_0 values have the bits of each sequence alone")
{
    obeys_cache_laws<heed::q8_0, heed::q4_0>(heed::softpick{}, as_they_are{}, {{1, 64, 32}, {40, 32, 96}}, by_8);
}

TEST_CASE("in products of integers q4_0 keys and q8_0 values have the bits of each sequence alone")
{
    obeys_cache_laws<heed::q4_0, heed::q8_0>(heed::softmax{}, as_they_are{}, {{3, 96, 64}}, by_16);
}

TEST_CASE("in products of integers parts of the keys, folded in their order, have the bits of all of them")
{
    const stored_problem<std::int8_t, std::int8_t> p(1, 5, 1700, 64, 48, 11);
    const heed::attention def{heed::softpick{}, heed::causal{}, by_16};
    const auto cache = [&](int64 first, int64 n) {
        return heed::scaled_kv{heed::dense_kv{tokens(p.k.in(), first, n), tokens(p.v.in(), first, n)},
                               heed::per_token{tokens(p.k_scales.in(), first, n)},
                               heed::per_token{tokens(p.v_scales.in(), first, n)}};
    };
    tensor<float> whole(p.out_size()), parts(p.out_size());
    heed::or_throw(heed::attend(def, p.q.in(), cache(0, 1700), whole.view()));
    const auto n = static_cast<std::size_t>(p.out_size().heads * p.out_size().tokens);
    std::vector<float> shift(n), mass(n);
    const heed::state<float> s{shift.data(), mass.data(), parts.data.data(), p.out_size()};
    heed::or_throw(heed::clear(def, s));
    for (const auto& [first, count] : {std::pair<int64, int64>{0, 1024}, {1024, 512}, {1536, 164}})
        heed::or_throw(heed::attend_partial(def, p.q.in(), cache(first, count), s, {first, 1700}));
    tensor<float> out(p.out_size());
    heed::or_throw(heed::finish(def, s, out.view()));
    REQUIRE(same_bits(out.data, whole.data));
}
