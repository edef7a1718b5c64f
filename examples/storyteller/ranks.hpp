// SPDX-License-Identifier: MIT
// The storyteller on several machines: rank 0 has the model and tells; the keys and values of all sequences are shared
// out over the ranks, this one included.
#pragma once

#include "attention.hpp"

#include <functional>

namespace llama2c {

/// How what ranks make of their keys becomes one: in the order of keys, with the bits of one machine, or as a tree.
enum class combining { order, tree };
inline constexpr const char* combining_names[] = {"order", "tree"};

/// The processes that mpirun started, as the first of them sees them.
class ranks {
public:
    virtual ~ranks() = default;

    virtual int size() const = 0;

    /// Attention to keys of f32, of which each rank holds a span of every sequence: model.context tokens are cut at
    /// multiples of heed::key_tile into as many spans as there are ranks, as equal as can be. Each rank has as many
    /// threads as the executor. One at a time. Throws input_error for normalizers other than the softmaxes and
    /// softpick.
    virtual std::unique_ptr<cached_attention> make_attention(const std::string& normalizer, const sidecar& beside,
                                                             const config& model, const attention_form& form,
                                                             combining how, heed::executor_ref executor) = 0;
};

/// Runs `first` on rank 0, and returns its exit status there; the others attend for it meanwhile, and return 0. Throws
/// input_error where MPI was not there when this was built.
int on_ranks(int argc, char** argv, const std::function<int(ranks&)>& first);

}  // namespace llama2c
