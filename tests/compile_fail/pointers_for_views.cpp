// expect: heed: attend takes views, of vectors, arrays and pointers too: heed::bhsd
#include <heed/heed.hpp>

heed::status call(const float* q, const float* k, const float* v, float* out, heed::extents e)
{
#ifdef VALID
    return heed::attend(heed::softpick{}, heed::bhsd(q, e), heed::bhsd(k, e), heed::bhsd(v, e), heed::bhsd(out, e));
#else
    (void)e;
    return heed::attend(heed::softpick{}, q, k, v, out);
#endif
}
