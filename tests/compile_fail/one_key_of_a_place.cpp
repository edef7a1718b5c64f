// expect: heed: at.key is many keys, one a lane: write at.load(t, -at.position) for t[at.key - at.position],
// at.gather(f) for any other function of a key, and at.key_at(lane) for the key of one lane
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out, const float* t)
{
    const heed::attention def{heed::map_score([t](auto s, const auto& at) {
#ifdef VALID
        return s + at.load(t, -at.position);
#else
        return s + t[at.key - at.position];  // lane 0's key, for all lanes
#endif
    })};
    return heed::attend(def, q, k, v, out);
}
