// SPDX-License-Identifier: MIT
// heed-bench --compare: two files of results side by side, with a verdict for each case.
#pragma once

#include "spread.hpp"

#include <string>

namespace bench {

struct change {
    double ratio;                 // of speeds, after over before: 1.1 is ten percent faster
    double noise;                 // what the ratio may be off by, by the spread of both: three standard errors
    std::string verdict() const;  // "faster", "slower", or "the same": within the noise
};

/// Of two speeds.
change change_of(const spread& before, const spread& after);

/// Prints every case of heed that both files hold, and what else differs. Throws a failure for what is no results.
int print_comparison(const std::string& before, const std::string& after);

}  // namespace bench
