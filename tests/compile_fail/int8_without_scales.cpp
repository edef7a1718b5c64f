// expect: heed: keys of int8 have scales: scaled_kv
#include <heed/heed.hpp>

using rows = heed::view<const std::int8_t>;

heed::status f(heed::view<const float> q, rows k, rows v, heed::view<const float> scale, heed::view<float> out)
{
#ifdef VALID
    return heed::attend(heed::attention{}, q,
                        heed::scaled_kv{heed::dense_kv{k, v}, heed::per_token{scale}, heed::per_token{scale}}, out);
#else
    (void)scale;
    return heed::attend(heed::attention{}, q, heed::dense_kv{k, v}, out);
#endif
}
