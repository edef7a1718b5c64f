// expect: heed: check() of a policy is a const member `heed::status check(const heed::problem&) const`
#include <heed/heed.hpp>

struct mine {
    template <class V>
    V map(V s, const heed::score_place<V>&) const
    {
        return s + 1;
    }
#ifdef VALID
    heed::status check(const heed::problem&) const { return {}; }
#else
    heed::status check() const { return {}; }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
