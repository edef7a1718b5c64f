// expect: heed: a score map has a const member `template <class V> V map(V s, const heed::score_place<V>& at) const`
#include <heed/heed.hpp>

struct halved {
#ifdef VALID
    template <class V>
    V map(V s, const heed::score_place<V>&) const
#else
    template <class V>
    V map(V s) const
#endif
    {
        return s * 0.5;
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{heed::softpick{}, halved{}}, q, k, v, out);
}
