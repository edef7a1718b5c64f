// SPDX-License-Identifier: MIT
// A case and its name:
//
//     IMPL/PHASE/NORMALIZER/KV/MASK/bB_hqH_hkvH_sqS_skvS_dD/tT
//     heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <regex>
#include <string>

namespace bench {

struct bench_case {
    std::string impl, phase, normalizer, kv, mask;
    std::int64_t batch, query_heads, kv_heads, queries, keys, dim;
    int threads;

    /// 4 flops for each attended (query, key, channel): two products and two sums.
    double flops() const
    {
        double pairs = 0;
        for (std::int64_t i = 0; i < queries; ++i)
            pairs += static_cast<double>(mask == "causal" ? std::clamp<std::int64_t>(i + keys - queries + 1, 0, keys)
                                                          : keys);
        return 4.0 * static_cast<double>(batch * query_heads * dim) * pairs;
    }
    /// K and V, read once.
    double kv_bytes() const
    {
        return 2.0 * (kv == "f32" ? 4.0 : 2.0) * static_cast<double>(batch * kv_heads * keys * dim);
    }
};

/// Returns what is wrong with the name, or an empty string.
inline std::string parse(const std::string& name, bench_case& c)
{
    static const std::regex form(
        "(heed|eigen)/(prefill|decode)/([a-z_0-9]+)/([a-z0-9_]+)/([a-z]+)/"
        "b(\\d{1,6})_hq(\\d{1,6})_hkv(\\d{1,6})_sq(\\d{1,9})_skv(\\d{1,9})_d(\\d{1,6})/t(\\d{1,3})");
    std::smatch m;
    if (!std::regex_match(name, m, form))
        return "does not read (heed|eigen)/(prefill|decode)/NORMALIZER/KV/MASK/bB_hqH_hkvH_sqS_skvS_dD/tT";
    const auto number = [&](std::size_t i) { return std::int64_t{std::stoll(m[i])}; };
    c = {m[1],      m[2],      m[3],      m[4],       m[5],       number(6),
         number(7), number(8), number(9), number(10), number(11), std::stoi(m[12])};
    const std::string known[] = {"softmax", "softmax1", "softmax_sink", "softpick", "sigmoid", "relu1", "relu2"};
    if (std::find(std::begin(known), std::end(known), c.normalizer) == std::end(known))
        return "normalizer " + c.normalizer +
               " is none of softmax, softmax1, softmax_sink, softpick, sigmoid, relu1, relu2";
    if (c.impl == "eigen" && c.normalizer != "softmax") return "eigen has softmax only";
    if (c.impl == "eigen" && c.threads != 1) return "eigen runs on one thread";
    if (c.kv != "f32" && c.kv != "bf16" && c.kv != "f16") return "kv type " + c.kv + " is none of f32, bf16, f16";
    if (c.impl == "eigen" && c.kv != "f32") return "eigen has f32 only";
    if (c.mask != "all" && c.mask != "causal") return "mask " + c.mask + " is none of all, causal";
    if (c.batch < 1 || c.kv_heads < 1 || c.queries < 1 || c.keys < 1 || c.dim < 1 || c.threads < 1)
        return "a size is 0";
    if (c.query_heads % c.kv_heads || c.query_heads == 0)
        return "hq" + m[7].str() + " is not a multiple of hkv" + m[8].str();
    return "";
}

}  // namespace bench
