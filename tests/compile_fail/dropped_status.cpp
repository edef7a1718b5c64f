// expect: unused
#include <heed/heed.hpp>

void f(heed::view<const float> q, heed::view<float> out)
{
#ifdef VALID
    const heed::status s = heed::attend(q, q, q, out);
    (void)s;
#else
    heed::attend(q, q, q, out);
#endif
}
