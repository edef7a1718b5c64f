// SPDX-License-Identifier: MIT
// Which process this is. A child of fork() has the memory of its parent, but only the thread that forked: what a thread
// pool has noted about its other threads is no longer true there.
#pragma once

#include "config.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

HEED_BEGIN
namespace detail {

inline long this_process()
{
#if defined(__unix__) || defined(__APPLE__)
    return getpid();
#else
    return 0;  // nothing forks here
#endif
}

}  // namespace detail
HEED_END
