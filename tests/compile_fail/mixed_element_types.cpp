// expect: heed: out is made of an element type that is computed in that of q
#include <heed/heed.hpp>

#ifdef VALID
using element = float;
#else
using element = double;
#endif

heed::status f(heed::view<const float> q, heed::view<element> out) { return heed::attend(q, q, q, out); }
