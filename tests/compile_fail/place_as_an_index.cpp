// expect: heed: a place is many keys, one a lane, and no index
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out, const float* t)
{
    const heed::attention def{heed::map_score([t](auto s, const auto& at) {
#ifdef VALID
        return s + at.load(t);
#else
        return s + t[at];
#endif
    })};
    return heed::attend(def, q, k, v, out);
}
