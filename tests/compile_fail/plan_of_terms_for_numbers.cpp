// expect: heed: vectors are compared lane by lane
#include <heed/heed.hpp>

struct mine {
    static constexpr auto shift = heed::shift::none;
    template <class Score>
    auto terms(Score s) const
    {
#ifdef VALID
        return heed::weight{heed::select(s.value() > 0, s.value(), 0)};
#else
        return heed::weight{s.value() > 0 ? s.value() : 0};
#endif
    }
};

heed::status f(heed::view<const float> q, heed::view<float> out, heed::workspace scratch)
{
    const heed::plan plan(mine{}, q, q, q);
    return plan.run(q, q, q, out, {{}, scratch, {}});
}
