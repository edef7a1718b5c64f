// expect: heed: terms() calls heed::max or terms_call_heed_functions
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::by_max;
    template <class Score>
    auto terms(Score s) const
    {
#ifdef VALID
        const auto e = heed::max(s.expm1(), 0.f);
        return heed::ratio{e, e};
#else
        const auto e = std::max(s.expm1(), 0.f);
        return heed::ratio{e, e};
#endif
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}, heed::causal{}}, q, k, v, out);
}
