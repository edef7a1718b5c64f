// expect: heed: thresholds are heed::row_threshold<double> for double tensors
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out, heed::row_threshold<float>* to, heed::row_threshold<double>* other)
{
#ifdef VALID
    (void)other;
    return heed::attend(heed::attention{heed::entmax15{}, heed::keep_thresholds{to}}, q, k, v, out);
#else
    (void)to;
    return heed::attend(heed::attention{heed::entmax15{}, heed::keep_thresholds{other}}, q, k, v, out);
#endif
}
