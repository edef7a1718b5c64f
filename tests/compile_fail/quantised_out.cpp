// expect: heed: out is made of an element type that is computed in that of q
#include <heed/heed.hpp>

#ifdef VALID
using element = heed::bf16;
#else
using element = heed::q8_0;
#endif

heed::status f(heed::view<const float> q, heed::view<element> out) { return heed::attend(q, q, q, out); }
