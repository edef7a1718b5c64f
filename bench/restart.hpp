// SPDX-License-Identifier: MIT
// Peers at their best: variables of the environment that make OpenBLAS or oneDNN take narrower vectors than the CPU has
// are read when these libraries are loaded, so that a process that has them can only start itself again without.
#pragma once

#include <string>

namespace bench {

/// Starts this program again with the same arguments where the environment handicaps a peer, and, where OpenBLAS then
/// does not know this CPU and takes narrower vectors than heed, once more with the name of a CPU that it knows. Returns
/// in the process that measures, or where the system does not start it.
void start_again_for_peers(char** argv);

/// What was changed: "OPENBLAS_CORETYPE=Haswell taken out; ..."; empty if nothing was.
std::string changes_for_peers();

}  // namespace bench
