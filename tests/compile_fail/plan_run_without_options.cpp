// expect: heed: run() of a plan takes options
#include <heed/heed.hpp>

heed::status f(heed::view<const float> q, heed::view<float> out, [[maybe_unused]] heed::workspace scratch)
{
    const heed::plan plan(heed::attention{heed::softpick{}}, q, q, q);
#ifdef VALID
    return plan.run(q, q, q, out, {{}, scratch, {}});
#else
    return plan.run(q, q, q, out);
#endif
}
