// SPDX-License-Identifier: MIT
// Causal attention of several sequences over their cache, with a normalizer, an element and pages that are chosen at
// run time.
#pragma once

#include "sidecar.hpp"

#include <memory>

namespace llama2c {

/// What keys and values are kept as. int8 and fp8 (e4m3) have a scale for each token and head, q8_0 and q4_0 for each
/// 32 channels.
enum class element { f32, bf16, f16, int8, fp8, q8_0, q4_0 };

inline constexpr const char* element_names[] = {"f32", "bf16", "f16", "int8", "fp8", "q8_0", "q4_0"};

/// Throws input_error for other names.
inline element element_named(const std::string& option, const std::string& name)
{
    std::string all;
    for (int i = 0; i < static_cast<int>(std::size(element_names)); ++i) {
        if (name == element_names[i]) return static_cast<element>(i);
        all += (i ? ", " : "") + std::string(element_names[i]);
    }
    throw input_error(option + " " + name + ": is none of " + all);
}

struct cache_form {
    element as = element::f32;
    int64 page = 0;  ///< tokens; 0: the whole context
    int64 sequences = 1;
};

/// How large a cache became.
struct cache_size {
    int64 tokens;     ///< held at once, at most
    int64 room;       ///< tokens that its pages have room for
    int64 bytes;      ///< of its pages
    int64 f32_bytes;  ///< of as many pages of f32
};

class cached_attention {
public:
    virtual ~cached_attention() = default;

    virtual int64 sequences() const = 0;
    /// Tokens of a sequence so far.
    virtual int64 length(int64 sequence) const = 0;

    /// Makes room for so many more tokens of each sequence, 0 or more.
    virtual void extend(const std::vector<int64>& tokens) = 0;

    /// Appends the rows of k and v to a layer's cache and attends to it, in one call for all sequences. Rows are those
    /// of the tokens that extend() made room for, one sequence behind the other: q [rows, heads * channels], which
    /// becomes the output, k and v [rows, kv heads * channels].
    virtual void attend(int64 layer, matrix& q, matrix k, matrix v) = 0;

    /// The sequence has ended; its pages are free for others.
    virtual void release(int64 sequence) = 0;

    virtual cache_size size() const = 0;
};

/// Attention of a model with the named normalizer, and of `beside` what that one needs. Throws input_error for other
/// names, and for normalizers without kernels for such a cache.
std::unique_ptr<cached_attention> make_attention(const std::string& normalizer, const sidecar& beside,
                                                 const config& model, const cache_form& cache,
                                                 heed::executor_ref executor);

}  // namespace llama2c
