// SPDX-License-Identifier: MIT
#include "headlines.hpp"
#include "measurement.hpp"

#include <cstdio>

namespace bench {

void print_headlines()
{
    std::printf("\n  %-46s %9s %9s %8s %7s %8s\n", "case (f32, 1 thread)", "time", "GFLOP/s", "of peak", "GB/s",
                "of read");
    const std::pair<const char*, const char*> cases[] = {
        {"prefill 2048 x 2048, 8 heads of 128, softmax",
         "heed/prefill/softmax/f32/all/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal", "heed/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, softpick", "heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"  the same, causal, Eigen's GEMM + softmax",
         "eigen/prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1"},
        {"decode over 32768 keys, 32/8 heads, softmax",
         "heed/decode/softmax/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
        {"  the same, softpick", "heed/decode/softpick/f32/all/b1_hq32_hkv8_sq1_skv32768_d128/t1"},
    };
    for (const auto& [title, name] : cases) {
        const bench_case c = parsed(name);
        std::string wrong;
        const contestant who = implementation_of(c, wrong)->make(c);
        who.run();
        measurement m(c);
        ceilings now = ceilings_of(c);
        while (m.times().size() < 9) m.sample(who, now);
        const numbers r = m.result();
        std::printf("  %-46s %6.1f ms %9.1f %7.0f%%", title, r.time.median * 1e3, r.gflops, 100 * r.of_peak.median);
        if (c.phase == "decode") std::printf(" %7.1f %7.0f%%\n", r.kv_gbps, 100 * r.of_stream.median);
        else std::printf(" %7s %8s\n", "", "");
        std::fflush(stdout);
    }
    std::printf("\n  medians; peak and read bandwidth are measured again beside each case\n");
}

}  // namespace bench
