// SPDX-License-Identifier: MIT
// One program for many CPUs: which machines the CPU of this process is one of, and the choice among tables of functions
// that are compiled for several.
//
//     // kernels.hpp
//     struct kernels { int (*attend)(const float* q, ...); };
//     extern const kernels oldest, avx2;
//
//     // kernels.cpp, compiled with -march=x86-64 -DKERNELS=oldest, and with -march=x86-64-v3 -DKERNELS=avx2
//     #include "kernels.hpp"
//     #include <heed/heed.hpp>
//     static int attend(const float* q, ...) { ... }
//     const kernels KERNELS{&attend};
//
//     // main.cpp, compiled for the oldest machine
//     const heed::compiled_for<kernels> all[] = {{"x86-64", &oldest}, {"x86-64-v3", &avx2}};
//     static const heed::compiled_for<kernels>& best = heed::dispatch(all);
//     best.table->attend(q, ...);
//
// In CMake, heed_add_kernels() does all of that. Pass plain types through the table: heed's own live in a namespace of
// their machine. This header knows nothing of heed's kernels, and what includes it may be compiled for any machine.
#pragma once

#include "base/config.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

HEED_BEGIN

namespace detail {

/// A bit of one of the words that a CPU describes itself by.
struct cpu_feature {
    const char* name;
    int word, bit;
};

/// A machine's name, and the features that its code may use; one without a name ends the list.
struct cpu_family {
    const char *name, *features;
};

#if defined(__x86_64__) || defined(__i386__)

/// ecx, edx of leaf 1; ebx, ecx, edx of leaf 7, eax of its subleaf 1; ecx of leaf 0x80000001; XCR0.
struct cpu_words {
    std::uint32_t word[8] = {};
    cpu_words()
    {
        unsigned a = 0, b = 0, c = 0, d = 0;
        if (__get_cpuid(1, &a, &b, &c, &d)) word[0] = c, word[1] = d;
        if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
            word[2] = b, word[3] = c, word[4] = d;
            if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) word[5] = a;
        }
        if (__get_cpuid(0x80000001, &a, &b, &c, &d)) word[6] = c;
        if (word[0] >> 27 & 1) {  // the system lets programs ask which registers it saves
            std::uint32_t low, high;
            __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
            word[7] = low;
        }
    }
};

// saved_ymm and saved_zmm: a CPU may have registers that its system does not save.
inline constexpr cpu_feature cpu_features[] = {{"sse3", 0, 0},          {"ssse3", 0, 9},
                                               {"fma", 0, 12},          {"cx16", 0, 13},
                                               {"sse4.1", 0, 19},       {"sse4.2", 0, 20},
                                               {"movbe", 0, 22},        {"popcnt", 0, 23},
                                               {"avx", 0, 28},          {"f16c", 0, 29},
                                               {"sse2", 1, 26},         {"bmi", 2, 3},
                                               {"avx2", 2, 5},          {"bmi2", 2, 8},
                                               {"avx512f", 2, 16},      {"avx512dq", 2, 17},
                                               {"avx512ifma", 2, 21},   {"avx512cd", 2, 28},
                                               {"avx512bw", 2, 30},     {"avx512vl", 2, 31},
                                               {"avx512vbmi", 3, 1},    {"avx512vbmi2", 3, 6},
                                               {"gfni", 3, 8},          {"avx512vnni", 3, 11},
                                               {"avx512bitalg", 3, 12}, {"avx512vpopcntdq", 3, 14},
                                               {"avx512fp16", 4, 23},   {"avxvnni", 5, 4},
                                               {"avx512bf16", 5, 5},    {"lahf", 6, 0},
                                               {"lzcnt", 6, 5},         {"saved_xmm", 7, 1},
                                               {"saved_ymm", 7, 2},     {"saved_masks", 7, 5},
                                               {"saved_zmm", 7, 6},     {"saved_zmm16", 7, 7}};

#define HEED_X86_V2 "cx16 lahf popcnt sse3 sse4.1 sse4.2 ssse3"
#define HEED_X86_V3 HEED_X86_V2 " avx avx2 bmi bmi2 f16c fma lzcnt movbe saved_xmm saved_ymm"
inline constexpr cpu_family cpu_families[] = {
    {"x86-64", "sse2"},
    {"x86-64-v2", HEED_X86_V2},
    {"x86-64-v3", HEED_X86_V3},
    {"x86-64-v4", HEED_X86_V3 " avx512f avx512bw avx512cd avx512dq avx512vl saved_masks saved_zmm saved_zmm16"},
    {nullptr, nullptr}};
#undef HEED_X86_V2
#undef HEED_X86_V3

#elif defined(__aarch64__)

/// AT_HWCAP and AT_HWCAP2; nothing is known of systems other than Linux, where only the oldest machine is assumed.
struct cpu_words {
    std::uint64_t word[2] = {};
    cpu_words()
    {
#if defined(__linux__)
        word[0] = getauxval(16);
        word[1] = getauxval(26);
#endif
    }
};

inline constexpr cpu_feature cpu_features[] = {
    {"crc32", 0, 7},   {"atomics", 0, 8}, {"fphp", 0, 9},   {"asimdhp", 0, 10}, {"asimdrdm", 0, 12}, {"jscvt", 0, 13},
    {"fcma", 0, 14},   {"lrcpc", 0, 15},  {"dcpop", 0, 16}, {"dotprod", 0, 20}, {"sve", 0, 22},      {"uscat", 0, 25},
    {"ilrcpc", 0, 26}, {"flagm", 0, 27},  {"ssbs", 0, 28},  {"sb", 0, 29},      {"paca", 0, 30},     {"sve2", 1, 1},
    {"flagm2", 1, 7},  {"frint", 1, 8},   {"i8mm", 1, 13},  {"bf16", 1, 14}};

// fp16 in -march is two of the kernel's words.
#define HEED_ARM_V2 "crc32 atomics asimdrdm dcpop"
inline constexpr cpu_family cpu_families[] = {
    {"armv8-a", ""},
    {"armv8.1-a", "crc32 atomics asimdrdm"},
    {"armv8.2-a", HEED_ARM_V2},
    {"armv9-a", HEED_ARM_V2 " fphp asimdhp jscvt fcma lrcpc dotprod uscat ilrcpc flagm flagm2 frint sb sve sve2"},
    {nullptr, nullptr}};
#undef HEED_ARM_V2

#else

struct cpu_words {
    std::uint32_t word[1] = {};
};
inline constexpr cpu_feature cpu_features[] = {{"", 0, 31}};
inline constexpr cpu_family cpu_families[] = {{nullptr, nullptr}};

#endif

/// Whether a CPU has the n letters of a feature's name.
inline bool cpu_has(const cpu_words& words, const char* name, std::size_t n)
{
#if defined(__aarch64__)
    if (n == 4 && std::memcmp(name, "fp16", 4) == 0) return cpu_has(words, "fphp", 4) && cpu_has(words, "asimdhp", 7);
#endif
    for (const cpu_feature& f : cpu_features)
        if (std::strlen(f.name) == n && std::memcmp(f.name, name, n) == 0) return words.word[f.word] >> f.bit & 1;
    return false;
}

/// Whether a CPU has all features of a list, which `separator` parts.
inline bool cpu_has_all(const cpu_words& words, const char* list, char separator)
{
    while (*list) {
        const char* const end = std::strchr(list, separator);
        const std::size_t n = end ? static_cast<std::size_t>(end - list) : std::strlen(list);
        if (!cpu_has(words, list, n)) return false;
        list += n + (end ? 1 : 0);
    }
    return true;
}

}  // namespace detail

/// Whether this CPU, and its system, run what is compiled with -march=`arch`: x86-64, x86-64-v2, x86-64-v3, x86-64-v4;
/// armv8-a, armv8.1-a, armv8.2-a, armv9-a. Extensions stand behind a +, on x86 too: x86-64-v4+avx512bf16+avx512vnni is
/// -march=x86-64-v4 -mavx512bf16 -mavx512vnni, and armv8.2-a+fp16+dotprod+bf16+i8mm is what it is to a compiler. False
/// for names that it does not know. ARM's extensions are known on Linux only.
inline bool cpu_runs(const char* arch)
{
    const detail::cpu_words words;
    const char* const extensions = std::strchr(arch, '+');
    const std::size_t n = extensions ? static_cast<std::size_t>(extensions - arch) : std::strlen(arch);
    for (const detail::cpu_family* f = detail::cpu_families; f->name; ++f)
        if (std::strlen(f->name) == n && std::memcmp(f->name, arch, n) == 0)
            return detail::cpu_has_all(words, f->features, ' ') &&
                   (!extensions || (extensions[1] && detail::cpu_has_all(words, extensions + 1, '+')));
    return false;
}

/// A table of functions, and the machine that they are compiled for, as cpu_runs() names it.
template <class Table>
struct compiled_for {
    const char* arch;    ///< as cpu_runs() takes it
    const Table* table;  ///< functions compiled for it
};

/// The last of `all` whose machine this CPU is, so that the oldest comes first; the first, where it is none of them.
/// The environment variable HEED_KERNELS, for tests, names another one. A name that is none of them, or that this CPU
/// does not run, is said on stderr and changes nothing.
template <class Table, std::size_t N>
const compiled_for<Table>& dispatch(const compiled_for<Table> (&all)[N])
{
    const compiled_for<Table>* best = all;
    for (const compiled_for<Table>& one : all)
        if (cpu_runs(one.arch)) best = &one;
    const char* const wanted = std::getenv("HEED_KERNELS");
    if (!wanted || !*wanted) return *best;
    for (const compiled_for<Table>& one : all)
        if (std::strcmp(one.arch, wanted) == 0) {
            if (cpu_runs(wanted)) return one;
            std::fprintf(stderr, "heed: HEED_KERNELS=%s: this CPU is not one; %s is taken\n", wanted, best->arch);
            return *best;
        }
    std::fprintf(stderr, "heed: HEED_KERNELS=%s is none of", wanted);
    for (const compiled_for<Table>& one : all) std::fprintf(stderr, " %s", one.arch);
    std::fprintf(stderr, "; %s is taken\n", best->arch);
    return *best;
}

HEED_END
