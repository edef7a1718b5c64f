// expect: the threshold of a row needs all its keys
#include <heed/heed.hpp>
#include <heed/observe.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::row_statistics<float> stats, heed::number_view<float> to, heed::row_threshold<float>* found)
{
#ifdef VALID
    (void)v;
    return heed::key_totals(heed::attention{heed::sparsemax{}, heed::known_thresholds{found}}, q, k, stats, to);
#else
    (void)v;
    (void)found;
    return heed::key_totals(heed::attention{heed::sparsemax{}}, q, k, stats, to);
#endif
}
