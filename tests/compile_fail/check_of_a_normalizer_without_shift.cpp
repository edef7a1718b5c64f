// expect: heed: a normalizer says its shift rule: static constexpr auto shift = heed::shift::by_max (or at_least_zero, or none)
#include <heed/heed.hpp>
#include <heed/testing.hpp>

struct mine {
#ifdef VALID
    static constexpr auto shift = heed::shift::by_max;
#endif
    template <class Score>
    auto terms(Score s) const
    {
        return heed::ratio{s.exp(), s.exp()};
    }
};

heed::status call() { return heed::check(mine{}); }
