// expect: heed: row() and least_share() of a share_of are const members `double row(const heed::query_place&) const`
#include <heed/heed.hpp>

#ifdef VALID
#define CONST const
#else
#define CONST
#endif

struct mine {
    static constexpr auto threshold = heed::share_of<heed::softmax>{};
    double row(const heed::query_place&) CONST { return 0.75; }
    template <class Score>
    auto terms(Score s) const
    {
        return heed::weight{s.share() * s.row()};
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
