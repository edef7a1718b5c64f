// SPDX-License-Identifier: MIT
// softmax, softmax1, softmax_sink and sink as one normalizer: softmax with an extra mass e^z, where z is -inf, 0 or
// learnt.
#pragma once

#include "attention_of.hpp"

#include <limits>

namespace llama2c {

inline of_layers<heed::softmax_sink> softmax_with(const std::vector<std::vector<float>>& sinks, const config& c)
{
    of_layers<heed::softmax_sink> s{{}, sinks};
    for (const auto& logits : s.logits) s.normalizers.emplace_back(logits.data(), c.heads);
    return s;
}

/// With the same sink in every head of every layer.
inline of_layers<heed::softmax_sink> softmax_with(float sink, const config& c)
{
    return softmax_with(std::vector(1, std::vector<float>(static_cast<std::size_t>(c.heads), sink)), c);
}

/// The one of this name; without a normalizer where no softmax has it.
inline of_layers<heed::softmax_sink> softmax_named(const std::string& name, const sidecar& beside, const config& c)
{
    if (name == "softmax") return softmax_with(-std::numeric_limits<float>::infinity(), c);
    if (name == "softmax1" || name == "softmax_sink") return softmax_with(0.f, c);
    if (name == "sink") return softmax_with(beside.sinks, c);
    return {};
}

}  // namespace llama2c
