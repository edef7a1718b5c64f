// expect: heed: terms() of a sum_is_one normalizer returns heed::weight{w}
#include <heed/heed.hpp>

struct mine {
    static constexpr auto threshold = heed::sum_is_one(1);
    template <class Score>
    auto terms(Score s) const
    {
        const auto w = heed::max(s.value(), 0);
#ifdef VALID
        return heed::weight{w};
#else
        return heed::ratio{w, w};
#endif
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
