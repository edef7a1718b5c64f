// expect: heed: windows.h makes macros of near, far, min and max
#ifndef VALID
#define near
#endif
#include <heed/base/config.hpp>

const char* name() { return heed::isa_name(); }
