// expect: heed: backward needs the derivative of every score map: a const member `slope(s, at)`, or map_score(f, df)
#include <heed/heed.hpp>

heed::status gradients(const heed::view<const float>& x, const heed::row_statistics<float>& stats,
                       const heed::gradients<float>& to)
{
    const auto halved = [](auto s, const auto&) { return s * decltype(s)(0.5f); };
#ifdef VALID
    const heed::attention def{heed::softcap{20}, heed::map_score(halved, [](auto s, const auto&) {
                                  return s * decltype(s)(0) + decltype(s)(0.5f);
                              })};
#else
    const heed::attention def{heed::softcap{20}, heed::map_score(halved)};
#endif
    return heed::backward(def, x, x, x, x, stats, x, to);
}
