// expect: heed: options are of the type that q is computed in
#include <heed/heed.hpp>

#ifdef VALID
using element = float;
#else
using element = double;
#endif

heed::status f(heed::view<const heed::bf16> q, heed::view<float> out)
{
    const heed::options<element> how;
    return heed::attend(heed::softpick{}, q, q, q, out, how);
}
