// expect: heed: log_offset() of a normalizer is a const member `double log_offset(std::int64_t head) const`
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::by_max;
    template <class Score>
    auto terms(Score s) const
    {
        return heed::ratio{s.exp(), s.exp()};
    }
#ifdef VALID
    double log_offset(std::int64_t) const { return -0.69; }
#else
    double log_offset() const { return -0.69; }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(mine{}, q, k, v, out);
}
