// SPDX-License-Identifier: MIT
// heed: exact attention kernels for CPUs with a normalizer of your own. This header only includes.
#pragma once

// First, so that what they say of policies is near the top of what a compiler prints, beside what it says of std::max.
#include <algorithm>

#include "base/mistakes.hpp"
#include "base/probe.hpp"

#include "attention.hpp"

#include "append.hpp"
#include "attend.hpp"
#include "backward.hpp"
#include "base/view.hpp"
#include "kv/left_padded.hpp"
#include "kv/packed.hpp"
#include "kv/paged.hpp"
#include "kv/ring.hpp"
#include "kv/scaled.hpp"
#include "mask/attention_mask.hpp"
#include "mask/causal.hpp"
#include "mask/dense_mask.hpp"
#include "mask/document.hpp"
#include "mask/prefix.hpp"
#include "mask/selected_keys.hpp"
#include "mask/window.hpp"
#include "move_rows.hpp"
#include "normalizer/elastic.hpp"
#include "normalizer/entmax.hpp"
#include "normalizer/relu.hpp"
#include "normalizer/sigmoid.hpp"
#include "normalizer/softmax.hpp"
#include "normalizer/softpick.hpp"
#include "normalizer/stick_breaking.hpp"
#include "normalizer/top_k.hpp"
#include "options.hpp"
#include "plan.hpp"
#include "score/alibi.hpp"
#include "score/bias.hpp"
#include "score/softcap.hpp"
#include "state.hpp"
#include "summarise.hpp"
