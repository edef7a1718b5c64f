// SPDX-License-Identifier: MIT
// What the examples' programs throw where a file or an argument is not as it should be.
#pragma once

#include <cstdint>
#include <stdexcept>

namespace llama2c {

using int64 = std::int64_t;

/// What is wrong with a file or an argument, in one line.
struct input_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

}  // namespace llama2c
