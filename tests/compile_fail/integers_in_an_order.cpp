// expect: heed: compute<std::int8_t> takes no normalizer with an order yet
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const heed::q8_0> k, heed::view<const heed::q8_0> v,
                  heed::view<float> out)
{
#ifdef VALID
    return heed::attend(heed::attention{heed::stick_breaking{}}, q, k, v, out);
#else
    return heed::attend(heed::attention{heed::stick_breaking{}, heed::compute<std::int8_t>{}}, q, k, v, out);
#endif
}
