// expect: spell causal as heed::causal{}
#include <heed/heed.hpp>

#ifdef VALID
const heed::attention def{heed::softmax{}, heed::causal{}};
#else
const heed::attention def{heed::softmax{}, true};
#endif

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(def, q, k, v, out);
}
