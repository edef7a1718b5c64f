// expect: heed: q, k, v and out are made of float, bf16 and f16 in any mix
#include <heed/heed.hpp>

#ifdef VALID
using element = heed::bf16;
#else
using element = double;
#endif

heed::status f(heed::view<const float> q, heed::view<const element> k, heed::view<float> out)
{
    return heed::attend(heed::causal{}, q, k, k, out);
}
