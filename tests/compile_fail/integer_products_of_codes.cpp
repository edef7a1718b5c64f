// expect: heed: compute<std::int8_t> takes k and v of int8, q8_0 or q4_0
#include <heed/heed.hpp>

heed::status f(heed::view<const float> q, heed::view<const heed::codes<4>> k, heed::view<const heed::q8_0> v,
               heed::per_channel_block<const float> scales, heed::view<float> out)
{
#ifdef VALID
    const heed::attention def{heed::softmax{}};
#else
    const heed::attention def{heed::softmax{}, heed::compute<std::int8_t>{}};
#endif
    return heed::attend(def, q, heed::scaled_kv{heed::dense_kv{k, v}, scales, heed::unscaled{}}, out);
}
