// SPDX-License-Identifier: MIT
#include "machine.hpp"
#include "ceilings.hpp"
#include "contestants.hpp"
#include "neighbours.hpp"
#include "restart.hpp"

#include <cstdio>
#include <fstream>

#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

namespace bench {
namespace {

std::string cpu_name()
{
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0) return line.substr(line.find(':') + 2);
    return "unknown CPU";
}

std::string compiler_name()
{
#if defined(__clang__)
    return "clang " __clang_version__;
#else
    return "gcc " __VERSION__;
#endif
}

int usable_threads()
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// Linux's own account: sysconf adds up the L3 of all sockets' parts.
std::int64_t cache_bytes(int level)
{
    std::ifstream size("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) + "/size");
    std::int64_t kib = 0;
    return size >> kib ? kib * 1024 : 0;
}

}  // namespace

const machine& this_machine()
{
    static const machine m{cpu_name(),       heed::isa_name(), compiler_name(),
                           usable_threads(), cache_bytes(2),   cache_bytes(3)};
    return m;
}

std::int64_t memory_bytes_of_machine()
{
#if defined(_SC_PHYS_PAGES)
    const std::int64_t pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages > 0 && size > 0) return pages * size;
#endif
    return 0;
}

std::vector<std::pair<std::string, std::string>> card()
{
    const machine& m = this_machine();
    std::vector<std::pair<std::string, std::string>> lines{
        {"cpu", m.cpu + ", " + thread_count(m.threads)},
        {"compiled for", m.isa + ", " + std::to_string(vector_bits_of_heed()) + "-bit vectors"},
        {"compiler", m.compiler}};
    for (const implementation& i : implementations()) {
        if (!i.is_peer()) continue;
        const library l = i.about();
        const std::string bits = l.vector_bits > 0 ? " (" + std::to_string(l.vector_bits) + "-bit vectors)" : "";
        lines.push_back({"peer " + i.name, l.name + " " + l.version + ", " + l.kernel + bits + "; " + l.threads});
    }
    for (const std::string& missing : peers_not_built()) lines.push_back({"peer not built", missing});
    if (const std::string changes = changes_for_peers(); !changes.empty()) lines.push_back({"started again", changes});
    if (const double load = system_load(); load > 0.5)
        lines.push_back({"WARNING", fixed(load, 1) + " processes are running: expect noise"});
    std::vector<int> counts{1};
    if (m.threads > 1) counts.push_back(m.threads);
    for (const int n : counts) {
        std::string says = fixed(fma_peak(n, 0.3), 0) + " GFLOP/s f32 FMA, ";
        if (heed::simd::has_bf16_dots) says += fixed(bf16_dot_peak(n, 0.3), 0) + " GFLOP/s bf16 dot products, ";
        lines.push_back({"ceilings, " + thread_count(n), says + fixed(memory().bandwidth(n, 0.3), 1) + " GB/s read"});
    }
    return lines;
}

std::string fixed(double x, int digits)
{
    char text[32];
    std::snprintf(text, sizeof(text), "%.*f", digits, x);
    return text;
}

std::string thread_count(int n) { return std::to_string(n) + (n == 1 ? " thread" : " threads"); }

}  // namespace bench
