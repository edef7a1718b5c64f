// expect: heed: terms() returns heed::ratio{weight, mass}, or heed::weight{w} for a denominator of 1
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::by_max;
    template <class Score>
    auto terms(Score s) const
    {
#ifdef VALID
        return heed::weight{s.exp()};
#else
        return s.exp();
#endif
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
