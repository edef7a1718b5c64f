// SPDX-License-Identifier: MIT
// What the module says to the kernels, in plain types: the kernels may be compiled once for each of several CPUs, and
// nothing else is shared with them.
#pragma once

#include <cstdint>

/// Elements of tensors and of caches.
enum class element : int { f32, f64, bf16, f16, q8_0, q4_0 };
inline constexpr int element_count = 6;

enum class normalizer : int { softmax, softpick };
inline constexpr int normalizer_count = 2;

inline constexpr std::int64_t no_limit = INT64_MAX;

/// A tensor [batch, heads, tokens, channels] with strides in elements; channels lie side by side.
struct tensor {
    void* data = nullptr;
    std::int64_t size[4] = {};
    std::int64_t stride[3] = {};
};

/// Whole numbers, one for each sequence say; null and 0 where there are none.
struct numbers {
    const std::int64_t* data = nullptr;
    std::int64_t count = 0;
};

enum class alignment : int { none, by_position, by_row };

/// What is computed.
struct definition {
    double scale = 1;
    double extra = 0;              // softmax: the n of softmax1; softpick: eps
    const float* sinks = nullptr;  // softmax: a logit for each query head
    std::int64_t sink_count = 0;

    double softcap = 0;             // 0: none
    const float* slopes = nullptr;  // of ALiBi, for each query head
    std::int64_t slope_count = 0;
    tensor bias;  // of the type that is computed in, [B, Hq, Sq, Skv]; null: none

    alignment causal = alignment::none;
    std::int64_t causal_offset = 0;
    std::int64_t left = no_limit, right = no_limit;  // of the window
    std::int64_t prefix = 0;
    numbers documents;
    tensor mask;  // of bool, [B, Hq, Sq, Skv]; null: none

    numbers offsets;  // the position of the first query row of each sequence
};

enum class storage : int { dense, ring, paged };

/// Keys and values, in two tensors of one element.
struct key_storage {
    storage kind = storage::dense;
    tensor k, v;      // dense [B, Hkv, Skv, D]; ring [B, Hkv, capacity, D]; paged [pages, Hkv, slots, D]
    numbers lengths;  // of sequences
    numbers firsts;   // ring: tokens before these are gone
    numbers pages;    // paged: [B, width]
    std::int64_t width = 0;
};

/// Who runs tasks: task(context, i, worker) for every i in [0, n).
struct executor {
    void* host = nullptr;
    int workers = 1;
    void (*run)(void* host, std::int64_t n, void (*task)(void* context, std::int64_t i, int worker),
                void* context) = nullptr;
};

/// Numbers of rows, [B, Hq, Sq], of the type that is computed in; null where they are not wanted.
struct row_numbers {
    void *shift = nullptr, *mass = nullptr, *lse = nullptr;
};

/// Attention: out and stats are written.
struct attend_call {
    definition def;
    tensor q, out;
    key_storage kv;
    row_numbers stats;
    executor threads;
};

/// {M, l, o} of rows, dense.
struct state_numbers {
    float *shift = nullptr, *mass = nullptr, *out = nullptr;
    std::int64_t size[4] = {};
};

/// Attention to a part of the keys: the state is continued.
struct partial_call {
    definition def;
    tensor q;
    key_storage kv;
    state_numbers state;
    std::int64_t first_key = 0, total_keys = -1, tile_stride = 1;
    executor threads;
};

/// Gradients; those whose data is null are not computed.
struct backward_call {
    definition def;
    tensor q, out, dout;
    key_storage kv;
    row_numbers stats;
    const void* dlse = nullptr;
    tensor dq, dk, dv, dbias;
    void* dsinks = nullptr;
    executor threads;
};

/// What is known of the weights of rows, or the weights of some rows of one head.
struct observe_call {
    definition def;
    tensor q;
    key_storage kv;
    row_numbers stats;

    float *max_score = nullptr, *lse = nullptr, *entropy = nullptr, *total = nullptr, *first_token = nullptr,
          *mean_distance = nullptr;
    std::int64_t *attended = nullptr, *zeros = nullptr, *small = nullptr;
    float small_weight = 0;
    std::int64_t top_k = 0;
    std::int64_t* top_keys = nullptr;
    float* top_weights = nullptr;

    float* map = nullptr;  // not null: the rows of `head` from first_row on, and nothing of the above
    std::int64_t batch = 0, head = 0, first_row = 0, rows = 0, keys = 0;

    executor threads;
};

/// Rows that are written to a cache, or read from it.
struct cache_call {
    key_storage kv;
    std::int64_t sequence = 0, position = 0;
    tensor k, v;  // [1, Hkv, n, D]
};

/// What went wrong: 0, or a number of heed::errc with a sentence.
struct outcome {
    int code = 0;
    char text[256] = "";
};

/// What a file of kernels has for one element, by normalizer; null where it has nothing.
struct element_verbs {
    element of;
    void (*attend[normalizer_count])(const attend_call&, outcome&) = {};
    void (*attend_partial[normalizer_count])(const partial_call&, outcome&) = {};
    void (*backward[normalizer_count])(const backward_call&, outcome&) = {};
    void (*observe[normalizer_count])(const observe_call&, outcome&) = {};
};

/// Of caches of one element: rows are of float, or of double.
struct cache_verbs {
    void (*append)(const cache_call&, outcome&);
    void (*fetch)(const cache_call&, outcome&);
    std::int64_t channels;  // of a block, 1 where elements are numbers
    std::int64_t bytes;     // of an element or a block
};

/// Of states, which are of float.
struct state_verbs {
    void (*clear[normalizer_count])(const state_numbers&, outcome&);
    void (*merge)(const state_numbers& into, const state_numbers& other, outcome&);
    void (*finish[normalizer_count])(const definition&, const state_numbers&, const tensor& out, float* lse, outcome&);
};

/// The kernels for one CPU.
struct kernels {
    const char* isa;
    const element_verbs* const* files;
    int file_count;
    cache_verbs caches[element_count];
    const state_verbs* states;
};
