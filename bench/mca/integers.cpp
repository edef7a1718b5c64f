// SPDX-License-Identifier: MIT
// What bench/mca/run reads the inner loops of products of integers of: attention over an int8 and a q4_0 cache.
#include <heed/heed.hpp>

using heed::view;

namespace {

template <int Bits>
const heed::attention def{heed::softmax{}, heed::compute<std::int8_t, Bits>{}};

}  // namespace

heed::status int8_by_16(view<const float> q, view<const std::int8_t> k, view<const float> scales, view<float> out)
{
    const heed::per_token by{scales};
    return heed::attend(def<16>, q, heed::scaled_kv{heed::dense_kv{k, k}, by, by}, out);
}
heed::status int8_by_8(view<const float> q, view<const std::int8_t> k, view<const float> scales, view<float> out)
{
    const heed::per_token by{scales};
    return heed::attend(def<8>, q, heed::scaled_kv{heed::dense_kv{k, k}, by, by}, out);
}
heed::status q4_0_by_16(view<const float> q, view<const heed::q4_0> k, view<float> out)
{
    return heed::attend(def<16>, q, heed::dense_kv{k, k}, out);
}
heed::status q4_0_by_8(view<const float> q, view<const heed::q4_0> k, view<float> out)
{
    return heed::attend(def<8>, q, heed::dense_kv{k, k}, out);
}
