// expect: heed: check() takes a normalizer, a score map or a mask
#include <heed/heed.hpp>
#include <heed/testing.hpp>

#ifdef VALID
heed::status call() { return heed::check(heed::softpick{}); }
#else
heed::status call() { return heed::check(heed::scale{1}); }
#endif
