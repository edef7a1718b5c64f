// expect: heed: classify() of a mask is a const member `heed::coverage classify(const heed::block_place&) const`
#include <heed/heed.hpp>

struct mine {
    bool attends(const heed::query_place& at, std::int64_t key) const { return key <= at.position; }
#ifdef VALID
    heed::coverage classify(const heed::block_place&) const { return heed::coverage::partial; }
#else
    heed::coverage classify(const heed::query_place&, std::int64_t, std::int64_t) const
    {
        return heed::coverage::partial;
    }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
