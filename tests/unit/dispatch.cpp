// SPDX-License-Identifier: MIT
// Which machines this CPU is one of, beside what the compiler's own runtime says.
#include <heed/dispatch.hpp>

#include <catch2/catch.hpp>

#if defined(__x86_64__)

TEST_CASE("a CPU runs what its features say, and nothing of a name that nobody knows")
{
    __builtin_cpu_init();
    REQUIRE(heed::cpu_runs("x86-64"));
    REQUIRE(heed::cpu_runs("x86-64-v2") == (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt")));
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    REQUIRE(heed::cpu_runs("x86-64-v3") == avx2);
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    REQUIRE(heed::cpu_runs("x86-64-v4") == avx512);
    REQUIRE(heed::cpu_runs("x86-64-v4+avx512vnni") == (avx512 && __builtin_cpu_supports("avx512vnni")));
    REQUIRE(heed::cpu_runs("x86-64-v4+avx512vnni+avx512vbmi2") ==
            (avx512 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi2")));
    REQUIRE(heed::cpu_runs("x86-64-v3+gfni") == (avx2 && __builtin_cpu_supports("gfni")));
    for (const char* unknown : {"", "x86", "x86-64-", "x86-64-v", "x86-64-v5", "x86-64+", "x86-64++sse3", "+avx2",
                                "x86-64-v3+avx9", "x86-64-v3 ", "armv8-a"}) {
        INFO(unknown);
        REQUIRE_FALSE(heed::cpu_runs(unknown));
    }
}

#endif

TEST_CASE("the last table that this CPU runs is taken, and the first where it runs none")
{
    const int a = 1, b = 2, c = 3;
#if defined(__x86_64__)
    const char* const oldest = "x86-64";
#else
    const char* const oldest = "armv8-a";
#endif
    const heed::compiled_for<int> all[] = {{oldest, &a}, {oldest, &b}, {"a machine to come", &c}};
    const heed::compiled_for<int> none[] = {{"a machine to come", &a}, {"another", &b}};
    REQUIRE(heed::dispatch(none).table == &a);
    if (heed::cpu_runs(oldest)) REQUIRE(heed::dispatch(all).table == &b);
}
