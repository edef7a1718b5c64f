// SPDX-License-Identifier: MIT
// What a model makes of the beginning of a text.
#pragma once

#include "model_file.hpp"
#include "task.hpp"
#include "transformer.hpp"

namespace twins {

/// Up to `tokens` bytes after the prompt, drawn at a temperature (0: the likeliest), a function of the seed; ends with
/// the context. The prompt is read again for every byte: at these sizes a cache would save milliseconds. Throws
/// input_error for a prompt that leaves no room.
std::string continuation(const trained_model&, const std::string& prompt, int64 tokens, double temperature,
                         std::uint64_t seed);

}  // namespace twins
