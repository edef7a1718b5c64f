// SPDX-License-Identifier: MIT
// What is computed, as Python says it: keyword arguments, kept with the arrays that they name.
#pragma once

#include "arrays.hpp"

#include <optional>

/// A definition: keyword arguments of every verb, or a value of its own, heed.Attention.
class attention {
public:
    /// Reads keyword arguments; `verb` begins errors.
    attention(const std::string& verb, const py::kwargs& words);

    normalizer of() const { return normalizer_; }
    bool has_bias() const { return bias_.owner != nullptr; }
    const array& bias() const { return bias_; }
    std::int64_t sinks() const { return static_cast<std::int64_t>(sinks_.size()); }

    /// The plain form for a call: keys of each sequence, query rows, channels of a key, and the type that is computed
    /// in. Pointers are into this object and into `offsets`.
    definition plain(const std::string& verb, const std::vector<std::int64_t>& keys, std::int64_t queries,
                     std::int64_t key_dim, number_type computed, std::vector<std::int64_t>& offsets) const;
    /// The normalizer alone.
    definition normalizer_alone() const;

    std::string text() const { return text_; }
    /// As keyword arguments again: the normalizer's.
    py::dict normalizer_words() const;
    bool same_normalizer(const attention& o) const
    {
        return normalizer_ == o.normalizer_ && extra_ == o.extra_ && sinks_ == o.sinks_;
    }

private:
    void read_normalizer(const std::string& verb, const py::kwargs& words);
    void read_causal(const std::string& verb, py::handle value);
    void read_window(const std::string& verb, py::handle value);

    std::string text_;
    normalizer normalizer_ = normalizer::softmax;
    double extra_ = 0;
    std::vector<float> sinks_;
    std::optional<double> scale_;
    double softcap_ = 0;
    std::vector<float> slopes_;
    bool has_slopes_ = false;
    array bias_, mask_;
    tensor bias_table_, mask_table_;
    alignment causal_ = alignment::none;
    std::int64_t causal_offset_ = 0;
    std::int64_t left_ = no_limit, right_ = no_limit;
    std::int64_t prefix_ = 0;
    std::vector<std::int64_t> documents_;
    std::vector<std::int64_t> offsets_;  // of query rows: none, one, or one for each sequence
    bool has_one_offset_ = false, has_offsets_ = false;
};
