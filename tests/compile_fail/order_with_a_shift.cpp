// expect: heed: a normalizer with an order has no shift, no threshold and no log_offset()
#include <heed/heed.hpp>

struct mine {
    static constexpr auto order = heed::order::from_the_right;
#ifndef VALID
    static constexpr auto shift = heed::shift::none;
#endif
    template <class Score>
    auto terms(Score s) const
    {
        return heed::ratio{heed::logistic(s.value()), heed::softplus(s.value())};
    }
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{mine{}}, q, k, v, out);
}
