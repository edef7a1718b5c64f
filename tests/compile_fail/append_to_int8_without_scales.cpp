// expect: heed: rows of int8 have scales: scaled_kv
#include <heed/heed.hpp>

#ifdef VALID
using element = heed::fp8_e4m3;
#else
using element = std::int8_t;
#endif

heed::status f(heed::view<element> k, heed::view<element> v, heed::view<const float> rows)
{
    return heed::append(heed::dense_kv{k, v}, 0, 0, rows, rows);
}
