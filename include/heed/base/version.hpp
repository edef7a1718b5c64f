// SPDX-License-Identifier: MIT
// The version, once: CMake parses these lines.
#pragma once

#define HEED_VERSION_MAJOR 0         ///< of MAJOR.MINOR.PATCH
#define HEED_VERSION_MINOR 1         ///< raised where bits move or a public name breaks
#define HEED_VERSION_PATCH 0         ///< raised by any other release
#define HEED_VERSION_STRING "0.1.0"  ///< the three as one string
