// expect: heed: an executor outlives the calls that it runs
#include <heed/heed.hpp>

heed::status f(heed::view<const float> q, heed::view<float> out)
{
    heed::options<float> how;
#ifdef VALID
    const heed::serial_executor serial;
    how.executor = serial;
#else
    how.executor = heed::serial_executor{};
#endif
    return heed::attend(heed::softpick{}, q, q, q, out, how);
}
