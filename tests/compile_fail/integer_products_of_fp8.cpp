// expect: heed: compute<std::int8_t> takes k and v of int8, q8_0 or q4_0
#include <heed/heed.hpp>

heed::status f(heed::view<const float> q, heed::view<const heed::q8_0> k,
               [[maybe_unused]] heed::view<const heed::fp8_e4m3> v, heed::view<float> out)
{
    const heed::attention def{heed::softmax{}, heed::compute<std::int8_t>{}};
#ifdef VALID
    return heed::attend(def, q, heed::dense_kv{k, k}, out);
#else
    return heed::attend(def, q, heed::dense_kv{k, v}, out);
#endif
}
