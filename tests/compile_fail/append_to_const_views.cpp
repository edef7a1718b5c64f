// expect: heed: append writes to a cache of views that are not const
#include <heed/heed.hpp>

#ifdef VALID
using element = heed::q8_0;
#else
using element = const heed::q8_0;
#endif

heed::status f(heed::view<element> k, heed::view<heed::q8_0> v, heed::view<const float> rows)
{
    return heed::append(heed::dense_kv{k, v}, 0, 0, rows, rows);
}
