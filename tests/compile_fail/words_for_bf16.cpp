// expect: become one of them by heed::as<heed::bf16>(p)
#include <heed/heed.hpp>

#ifdef VALID
using element = heed::bf16;
#else
using element = std::uint16_t;
#endif

heed::status f(heed::view<const element> q, heed::view<element> out) { return heed::attend(q, q, q, out); }
