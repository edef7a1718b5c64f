// SPDX-License-Identifier: MIT
// Those who run a case. A contestant owns its tensors and scratch; run() is what is timed.
#pragma once

#include "cases.hpp"

#include <functional>
#include <string>

namespace bench {

struct contestant {
    std::function<void()> run;
    std::string description;  // what ran, in its own words
};

contestant make_heed(const bench_case&);
contestant make_eigen(const bench_case&);

inline contestant make_contestant(const bench_case& c) { return c.impl == "heed" ? make_heed(c) : make_eigen(c); }

}  // namespace bench
