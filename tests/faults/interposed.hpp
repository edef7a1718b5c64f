// SPDX-License-Identifier: MIT
// System calls of this program that fail or dawdle when a test says so.
#pragma once

#include <atomic>

namespace faults {

inline constexpr int all = 1 << 30;

/// Threads that pthread_create still starts; it refuses those behind them.
inline std::atomic<int> threads_left{all};

/// Microseconds that each thread that was started here sleeps after it has let go of a mutex.
inline std::atomic<unsigned> dawdle{0};

/// Whether malloc gives nothing.
inline std::atomic<bool> no_memory{false};

}  // namespace faults

// Sanitizers interpose these themselves.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HEED_INTERPOSES 0
#elif defined(__has_feature)
#define HEED_INTERPOSES !(__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define HEED_INTERPOSES 1
#endif
