// expect: heed::causal}
#include <heed/heed.hpp>

// A type where an expression is due: no header is asked, and the line of the call is all that there is to show.
heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
#ifdef VALID
    return heed::attend(heed::attention{heed::softpick{}, heed::causal{}}, q, k, v, out);
#else
    return heed::attend(heed::attention{heed::softpick{}, heed::causal}, q, k, v, out);
#endif
}
