// SPDX-License-Identifier: MIT
// AVX2, AVX-512, plain C++ and other sizes in one program: the same bits, for prefill and decode, tails and whole
// registers.
#include "isa_unit.hpp"

#include <cstdio>
#include <random>

int main()
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512vl") ||
        !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq")) {
        std::puts("not run: this machine lacks AVX-512");
        return 0;
    }
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    std::vector<double> numbers(300000);
    for (double& x : numbers) x = normal(random);
    for (const isa_problem& p :
         {isa_problem{1, 1500, 64, 64}, {1, 77, 19, 5}, {3, 1030, 128, 40}, {90, 1100, 40, 33}, {200, 130, 16, 16}}) {
        const std::vector<unsigned char> avx2 = attend_0(p, numbers), avx512 = attend_1(p, numbers);
        if (avx2 == avx512 && avx2 == attend_2(p, numbers) && avx2 == attend_3(p, numbers) && avx2.size() > 100)
            continue;
        std::printf("AVX2, AVX-512, plain C++ and other sizes differ at %lld queries, %lld keys\n",
                    static_cast<long long>(p.queries), static_cast<long long>(p.keys));
        return 1;
    }
    std::puts("AVX2, AVX-512, plain C++ and other sizes agree bit for bit");
}
