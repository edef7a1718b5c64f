// expect: heed: terms() of a normalizer takes any score: `template <class Score> auto terms(Score s) const`
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::by_max;
#ifdef VALID
    template <class Score>
    auto terms(Score s) const
    {
        return heed::ratio{s.exp(), s.exp()};
    }
#else
    auto terms(float s) const { return heed::ratio{s, s}; }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
