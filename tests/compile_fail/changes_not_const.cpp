// expect: heed: changes() of a score map is a const member `bool changes(const heed::block_place&) const`
#include <heed/heed.hpp>

#ifdef VALID
#define CONST const
#else
#define CONST
#endif

struct mine {
    template <class V>
    V map(V s, const heed::score_place<V>&) const
    {
        return s + 1;
    }
    bool changes(const heed::block_place&) CONST { return true; }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
