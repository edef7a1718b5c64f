// expect: heed: map_score takes a callable of a score and its place that gives vectors for vectors
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
#ifdef VALID
    const auto squared = [](auto s, const auto&) { return s * s; };
#else
    const auto squared = [](auto s) { return s * s; };
#endif
    return heed::attend(heed::attention{heed::map_score(squared)}, q, k, v, out);
}
