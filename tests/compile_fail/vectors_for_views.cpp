// expect: heed: attend takes views, of vectors, arrays and pointers too: heed::bhsd
#include <heed/heed.hpp>

#include <vector>

heed::status call(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
                  std::vector<float>& out, heed::extents e)
{
#ifdef VALID
    return heed::attend(heed::softpick{}, heed::bhsd(q.data(), e), heed::bhsd(k.data(), e), heed::bhsd(v.data(), e),
                        heed::bhsd(out.data(), e));
#else
    (void)e;
    return heed::attend(heed::softpick{}, q, k, v, out);
#endif
}
