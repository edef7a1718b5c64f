// SPDX-License-Identifier: MIT
// Attention over blocks has the bits of attention over a float cache of the numbers that they hold.
#pragma once

#include "cache_laws.hpp"

namespace test {

template <class K, class V>
stored_problem<float, float> in_floats(const stored_problem<K, V>& p)
{
    stored_problem<float, float> f(1, 1, 100, 1, 1);
    f.q = p.q;
    f.k = widened(p.k);
    f.v = widened(p.v);
    f.k_scales = p.k_scales;
    f.v_scales = p.v_scales;
    return f;
}

/// Head sizes are rounded up to whole blocks.
template <class K, class V, class Normalizer>
void has_bits_of_floats(const Normalizer& normalizer)
{
    const heed::attention def{normalizer, heed::causal{} & heed::window{5000}};
    for (const auto& [queries, keys, key_channels, value_channels] :
         std::vector<std::array<int64, 4>>{{1, 1203, 288, 96},
                                           {1, 37, 32, 64},
                                           {3, 700, 96, 288},
                                           {40, 600, 544, 32},
                                           {13, 1100, 64, 160},
                                           {200, 1203, 288, 96}}) {
        const int64 key_dim = heed::round_up(key_channels, heed::channels_of<K>),
                    value_dim = heed::round_up(value_channels, heed::channels_of<V>);
        CAPTURE(queries, keys, key_dim, value_dim);
        const stored_problem<K, V> p(1, queries, std::max<int64>(keys, 100), key_dim, value_dim, 11);
        const auto f = in_floats(p);
        REQUIRE(same_bits(cache_laws(def, p, as_they_are{}).alone(0, queries, keys).data,
                          cache_laws(def, f, as_they_are{}).alone(0, queries, keys).data));
    }
}

}  // namespace test
