// expect: heed: thresholds of parts are those of heed::sum_is_one and heed::rank
#include <heed/heed.hpp>
#include <heed/threshold_state.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::threshold_state<float> s)
{
#ifdef VALID
    return heed::threshold_partial(heed::entmax15{}, q, k, s);
#else
    return heed::threshold_partial(heed::clipped_softmax{}, q, k, s);
#endif
}
