// SPDX-License-Identifier: MIT
// The mask of a case as a table [Sq, Skv], as engines hand it over.
#pragma once

#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/heed.hpp>

#include <algorithm>
#include <limits>

namespace bench {

/// A table of 0 and -inf, or of true and false; or tilted: an attended entry is its distance times -2^-30, which is not
/// 0 and changes no output by as much as its tolerance.
template <class T>
std::shared_ptr<buffer<T>> table_of(const bench_case& c)
{
    const auto table = std::make_shared<buffer<T>>(c.queries * c.keys);
    constexpr bool numbers = !std::is_same_v<T, bool>;
    for (std::int64_t i = 0; i < c.queries; ++i) {
        T* const row = table->get() + i * c.keys;
        const span keys = c.attended(i);
        for (std::int64_t j = 0; j < c.keys; ++j) {
            const bool in = keys.begin <= j && j < keys.end;
            if constexpr (numbers) {
                const float tilt = c.form == mask_form::tilted ? static_cast<float>(keys.end - j) * -0x1p-30f : 0.f;
                row[j] = T(in ? tilt : -std::numeric_limits<float>::infinity());
            } else {
                row[j] = in;
            }
        }
    }
    return table;
}

}  // namespace bench
