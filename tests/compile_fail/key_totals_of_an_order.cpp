// expect: heed: key_totals() takes tiles of keys by themselves
#include <heed/heed.hpp>
#include <heed/observe.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::row_statistics<float> stats,
                  float* totals)
{
#ifdef VALID
    return heed::key_totals(heed::softmax{}, q, k, stats, totals);
#else
    return heed::key_totals(heed::stick_breaking{}, q, k, stats, totals);
#endif
}
