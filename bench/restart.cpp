// SPDX-License-Identifier: MIT
#include "restart.hpp"
#include "contestants.hpp"

#include <cstdlib>

#include <unistd.h>

namespace bench {
namespace {

constexpr const char* handicaps[] = {"OPENBLAS_CORETYPE",  "OPENBLAS_L2_SIZE",   "DNNL_MAX_CPU_ISA",
                                     "ONEDNN_MAX_CPU_ISA", "DNNL_CPU_ISA_HINTS", "ONEDNN_CPU_ISA_HINTS"};
constexpr const char* note = "HEED_BENCH_STARTED_AGAIN";  // what was changed; in the environment of the new process

void start_again(char** argv, const std::string& what)
{
    const std::string before = changes_for_peers(), all = before.empty() ? what : before + "; " + what;
    setenv(note, all.c_str(), 1);
    execv("/proc/self/exe", argv);
}

/// Wide enough for heed's vectors, and known to every OpenBLAS that has such kernels.
const char* core_for(int bits) { return bits >= 512 ? "SkylakeX" : bits >= 256 ? "Haswell" : nullptr; }

}  // namespace

std::string changes_for_peers()
{
    const char* const said = std::getenv(note);
    return said ? said : "";
}

void start_again_for_peers(char** argv)
{
    const std::string before = changes_for_peers();
    if (before.empty()) {
        std::string what;
        for (const char* name : handicaps)
            if (const char* const value = std::getenv(name)) {
                what += (what.empty() ? "" : ", ") + std::string(name) + "=" + value;
                unsetenv(name);
            }
        if (!what.empty()) start_again(argv, what + " taken out of the environment");
    }
#if defined(HEED_BENCH_OPENBLAS)
    constexpr const char* asks_for = "OpenBLAS took ";
    const library openblas = openblas_library();
    const char* const core = core_for(vector_bits_of_heed());
    if (core && openblas.vector_bits > 0 && openblas.vector_bits < vector_bits_of_heed() &&
        before.find(asks_for) == std::string::npos) {
        setenv("OPENBLAS_CORETYPE", core, 1);
        start_again(argv, asks_for + openblas.kernel + " for a CPU that it does not know, and was asked for " + core);
    }
#endif
}

}  // namespace bench
