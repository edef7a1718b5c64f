// SPDX-License-Identifier: MIT
// A finished model as files: llama2.c's checkpoint, and the sidecar that says the rest of it.
#pragma once

#include "../storyteller/sidecar.hpp"
#include "training_state.hpp"

namespace twins {

struct trained_model {
    config shape;
    llama2c::sidecar beside;  // normalizer, element type, and the facts: task, options, losses
    layout at;
    std::vector<float> parameters;
    loss_curve curve;

    tensors<const float> weights() const { return {at, parameters.data()}; }

    /// The value of one of the options it was trained with, `otherwise` where the sidecar does not say.
    int64 option(const std::string& name, int64 otherwise) const;
    /// Element type and options, all but the seed: what runs of one twin have in common.
    std::string all_but_seed() const;
};

/// Validation windows of each point of the loss curve.
inline int64 curve_windows(const trained_model& m) { return m.option("--windows", 16); }  // 16 before it was an option

/// The model that a run has made so far.
trained_model finished(const settings&, const layout& at, const training_state&, double training_loss, bool bf16);

/// PATH.bin and its sidecar. The tensors are rounded to bf16 where the model says so.
void write_model(const trained_model&, const std::string& path);

/// Throws input_error with one line for whatever is wrong with the files.
trained_model read_model(const std::string& path);

}  // namespace twins
