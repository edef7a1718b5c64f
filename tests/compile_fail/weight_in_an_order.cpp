// expect: heed: terms() of a normalizer with an order returns heed::ratio{w, u}
#include <heed/heed.hpp>

struct mine {
    static constexpr auto order = heed::order::from_the_right;
    template <class Score>
    auto terms(Score s) const
    {
        const auto w = heed::logistic(s.value());
#ifdef VALID
        return heed::ratio{w, heed::softplus(s.value())};
#else
        return heed::weight{w};
#endif
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
