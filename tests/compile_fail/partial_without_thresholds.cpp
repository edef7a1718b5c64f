// expect: the threshold of a row needs all its keys
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::state<float> state, heed::row_threshold<float>* found)
{
#ifdef VALID
    return heed::attend_partial(heed::attention{heed::entmax15{}, heed::known_thresholds{found}}, q, k, v, state);
#else
    (void)found;
    return heed::attend_partial(heed::attention{heed::entmax15{}}, q, k, v, state);
#endif
}
