// SPDX-License-Identifier: MIT
#include "contestants.hpp"

#include <heed/engine/simd/vec.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bench {

const std::vector<implementation>& implementations()
{
    constexpr bool computes_masked = true;
    static const std::vector<implementation> all
    {
        {"heed", heed_refusal, make_heed},
#if defined(HEED_BENCH_OPENBLAS)
            {"openblas", openblas_refusal, make_openblas, !computes_masked, openblas_library},
#endif
#if defined(HEED_BENCH_ONEDNN)
            {"onednn", onednn_refusal, make_onednn, computes_masked, onednn_library},
#endif
            {"eigen", eigen_refusal, make_eigen, computes_masked, eigen_library}, {"fused", fused_refusal, make_fused},
            {"observe", observe_refusal, make_observe}, {"dense", dense_refusal, make_dense},
            {"policy", policy_refusal, make_policy}, {"compute_op", compute_op_refusal, make_compute_op},
    };
    return all;
}

std::vector<std::string> peers_not_built()
{
    std::vector<std::string> missing;
    for (const auto& [name, package] : {std::pair{"openblas", "libopenblas-dev"}, std::pair{"onednn", "libdnnl-dev"}})
        if (std::none_of(implementations().begin(), implementations().end(),
                         [&, n = name](const implementation& i) { return i.name == n; }))
            missing.push_back(std::string(name) + " (" + package + ")");
    return missing;
}

int vector_bits_of_heed() { return 32 * heed::simd::vec<float>::lanes; }

std::string refusal(const implementation& who, const bench_case& c)
{
    const bool is_heed = who.name == "heed" || who.name == "dense" || who.name == "policy";
    if (c.native && who.name != "heed" && who.name != "onednn")
        return who.name + " has no bf16_native, which is heed::compute<bf16>";
    if (c.phase == "backward" && who.name != "heed") return who.name + " has no backward";
    if (c.over_cache() && !is_heed) return who.name + " has no such caches";
    if (c.layers > 1 && who.name != "heed") return who.name + " is measured in one layer";
    if (c.form != mask_form::policy && !is_heed && who.name != "compute_op") return who.name + " has no masks as tables";
    return who.refusal(c);
}

const implementation* implementation_of(const bench_case& c, std::string& wrong)
{
    for (const implementation& i : implementations())
        if (i.name == c.impl) {
            wrong = refusal(i, c);
            return wrong.empty() ? &i : nullptr;
        }
    wrong = c.impl + " was not found when heed-bench was built: apt-get install " +
            (c.impl == "onednn" ? "libdnnl-dev" : "libopenblas-dev");
    return nullptr;
}

std::string disagreement(const bench_case& c, const std::vector<float>& of_heed, const std::vector<float>& of_peer)
{
    if (of_heed.size() != of_peer.size()) return "its output has another size than heed's";
    const double bound = c.element == "f32" || c.over_cache() ? 1e-4 : c.element == "f16" ? 5e-3 : 3e-2;
    double largest = 0, off = 0;
    for (std::size_t i = 0; i < of_heed.size(); ++i) {
        largest = std::max(largest, std::abs(static_cast<double>(of_heed[i])));
        const double d = std::abs(static_cast<double>(of_heed[i]) - static_cast<double>(of_peer[i]));
        off = d <= off ? off : d;  // a NaN stays
        if (d != d) break;
    }
    if (off <= bound * largest) return "";
    char text[160];
    std::snprintf(text, sizeof(text),
                  "computes something else than heed: outputs differ by %.2g, of which %.2g are allowed", off,
                  bound * largest);
    return text;
}

}  // namespace bench
