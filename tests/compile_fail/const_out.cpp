// expect: heed: out is written, and no view of const elements
#include <heed/heed.hpp>

#ifdef VALID
using element = float;
#else
using element = const float;
#endif

heed::status f(heed::view<const float> q, heed::view<element> out) { return heed::attend(q, q, q, out); }
