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

heed::attention def{mine{}};
