// expect: heed: a normalizer says its shift rule
#include <heed/heed.hpp>

struct mine {
#ifdef VALID
    static constexpr auto shift = heed::shift::by_max;
#endif
    template <class Score>
    auto terms(Score s) const
    {
        return heed::weight{s.exp()};
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
