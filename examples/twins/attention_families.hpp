// SPDX-License-Identifier: MIT
// Where make_attention finds normalizers: two translation units, so that two cores compile them at once. Null for a
// name of the other.
#pragma once

#include "attention.hpp"

namespace twins {

/// softmax, softmax1, sink, sigmoid.
std::unique_ptr<attention<float>> make_exponential_attention(const std::string& normalizer, int64 context);

/// softpick, relu-softmax, rectified-only.
std::unique_ptr<attention<float>> make_rectified_attention(const std::string& normalizer);

}  // namespace twins
