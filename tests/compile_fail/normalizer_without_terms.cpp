// expect: heed: a normalizer has a const member `template <class Score> auto terms(Score s) const`
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::by_max;
#ifdef VALID
    template <class Score>
    auto terms(Score s) const
    {
        return heed::weight{s.exp()};
    }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
