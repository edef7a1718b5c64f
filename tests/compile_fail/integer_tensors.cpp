// expect: heed: tensors are made of float, double, heed::bf16 or heed::f16
#include <heed/heed.hpp>

#ifdef VALID
using element = float;
#else
using element = int;
#endif

heed::status f(heed::view<const element> q, heed::view<element> out) { return heed::attend(q, q, q, out); }
