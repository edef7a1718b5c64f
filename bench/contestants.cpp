// SPDX-License-Identifier: MIT
#include "contestants.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bench {

const std::vector<implementation>& implementations()
{
    static const std::vector<implementation> all
    {
        {"heed", heed_refusal, make_heed, false, false},
#if defined(HEED_BENCH_OPENBLAS)
            {"openblas", openblas_refusal, make_openblas, false, true},
#endif
#if defined(HEED_BENCH_ONEDNN)
            {"onednn", onednn_refusal, make_onednn, true, true},
#endif
            {"eigen", eigen_refusal, make_eigen, true, true}, {"fused", fused_refusal, make_fused, false, false},
            {"observe", observe_refusal, make_observe, false, false},
            {"dense", dense_refusal, make_dense, false, false},
    };
    return all;
}

std::string refusal(const implementation& who, const bench_case& c)
{
    if (c.native && who.name != "heed") return who.name + " has no bf16_native, which is heed::compute<bf16>";
    if (c.phase == "backward" && who.name != "heed") return who.name + " has no backward";
    if (c.over_cache() && who.name != "heed" && who.name != "dense") return who.name + " has no such caches";
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
