// SPDX-License-Identifier: MIT
// Cases of normalizers with a threshold.
#include "thresholds.hpp"

#include "attending.hpp"
#include "case_mask.hpp"

namespace bench {

contestant make_thresholded(const bench_case& c)
{
    return with_thresholded(c, [&](const auto& normalizer, const heed::scale& scale) {
        return attending_in<float>(c, heed::attention{normalizer, scale, case_mask(c)});
    });
}

}  // namespace bench
