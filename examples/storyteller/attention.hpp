// SPDX-License-Identifier: MIT
// Causal attention of several sequences over their cache, with a normalizer and a form that are chosen at run time.
#pragma once

#include "attention_form.hpp"
#include "sidecar.hpp"

#include <memory>

namespace llama2c {

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

/// Why a normalizer has no kernels for a form, in a sentence that names the option; empty where it has. Throws
/// input_error where it is none.
std::string why_not(const std::string& normalizer, const attention_form& form);

/// Attention of a model with the named normalizer, and of `beside` what that one needs. Throws input_error for other
/// names, and where why_not() says why.
std::unique_ptr<cached_attention> make_attention(const std::string& normalizer, const sidecar& beside,
                                                 const config& model, const attention_form& form,
                                                 heed::executor_ref executor);

}  // namespace llama2c
