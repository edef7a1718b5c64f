// SPDX-License-Identifier: MIT
// Measures a trained model: what the report says of it.
#pragma once

#include "model_file.hpp"
#include "task.hpp"

#include <heed/executor/threads.hpp>

namespace twins {

/// Everything of a twin's report, from the first `windows` validation windows of the task.
twin_report measure(const trained_model&, const task&, int64 windows, heed::thread_pool&);

/// Tokens of the sample whose attention maps are drawn.
inline constexpr int64 map_tokens = 24;
std::vector<std::string> map_labels(const task&);

}  // namespace twins
