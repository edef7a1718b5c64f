// SPDX-License-Identifier: MIT
// The table of normalizers, and where its kernels are: a file each in normalizers/, so that they compile side by side.
#pragma once

#include "attention.hpp"

#include <functional>

namespace twins {

#if defined(TWINS_NUMBER)
using number = TWINS_NUMBER;  // tests compile the table once more, in double
#else
using number = float;
#endif

/// Makes attention with a normalizer, for sequences of up to `context` tokens.
template <class T>
struct kernels {
    std::function<std::unique_ptr<attention<T>>(int64 context)> make;
    bool has_parameter;  ///< one number a head, which may be learned
};

/// What policies of an attention may depend on: the longest sequence, and a number for each head where it learns them.
struct heads {
    int64 context;
    const float* learned;
    int64 count;
};

/// Throws std::logic_error where a line cannot stand below those before it.
void check_line(const std::vector<normalizer>& before, const normalizer&, bool has_parameter);

template <class T>
class normalizer_table {
public:
    void add(normalizer line, kernels<T> of)
    {
        check_line(lines_, line, of.has_parameter);
        lines_.push_back(std::move(line));
        kernels_.push_back(std::move(of));
    }

    /// With kernels for these policies: a normalizer, and score maps before it in the order written. Or for those that
    /// a function makes of `const twins::heads&`: one, or a std::tuple. Defined in extra.hpp.
    template <class First, class... Policies>
    void add(normalizer line, First, Policies...);

    const std::vector<normalizer>& lines() const { return lines_; }
    const kernels<T>& kernels_at(std::size_t line) const { return kernels_[line]; }

private:
    std::vector<normalizer> lines_;
    std::vector<kernels<T>> kernels_;
};

/// The logits of softmax's sinks.
enum class sink_logit { none, zero, learned };

// Each is instantiated for `number` in its file: templates, so that a float's and a double's have names of their own.
template <class T>
kernels<T> softmax_kernels(sink_logit);
template <class T>
kernels<T> softpick_kernels();
template <class T>
kernels<T> scalable_softpick_kernels();
template <class T>
kernels<T> sigmoid_kernels();
template <class T>
kernels<T> relu_softmax_kernels();
template <class T>
kernels<T> rectified_only_kernels();
template <class T>
kernels<T> entmax15_kernels();
template <class T>
kernels<T> sparsemax_kernels();
template <class T>
kernels<T> elastic_kernels();
template <class T>
kernels<T> stick_breaking_kernels();

/// Those that twins brings.
void add_normalizers(normalizer_table<number>&);

/// Those of the file that TWINS_EXTRA names; without it, none.
void add_extra(normalizer_table<number>&);

}  // namespace twins
