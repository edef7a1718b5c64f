// expect: heed: a mask that adds to scores too
#include <heed/heed.hpp>

const heed::attention_mask<float> table{heed::view<const float>{}};

#ifdef VALID
const heed::attention def{table, heed::causal{}};
#else
const heed::attention def{table & heed::causal{}};
#endif

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(def, q, k, v, out);
}
