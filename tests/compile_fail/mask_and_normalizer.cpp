// expect: heed: & and | combine two masks
#include <heed/heed.hpp>

#ifdef VALID
const heed::attention def{heed::causal{} & heed::window{8}, heed::softpick{}};
#else
const heed::attention def{heed::causal{} & heed::softpick{}};
#endif

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(def, q, k, v, out);
}
