// SPDX-License-Identifier: MIT
// A finished model as files: llama2.c's checkpoint, and the sidecar that says the rest of it.
#pragma once

#include "../sidecar.hpp"
#include "training_state.hpp"

namespace twins {

struct trained_model {
    config shape;
    llama2c::sidecar beside;  // normalizer, element type, and the facts: task, options, losses
    layout at;
    std::vector<float> parameters;
    loss_curve curve;

    tensors<const float> weights() const { return {at, parameters.data()}; }
};

/// The model that a run has made so far.
trained_model finished(const settings&, const layout& at, const training_state&, double training_loss, bool bf16);

/// PATH.bin and its sidecar. The tensors are rounded to bf16 where the model says so.
void write_model(const trained_model&, const std::string& path);

/// Throws input_error with one line for whatever is wrong with the files.
trained_model read_model(const std::string& path);

}  // namespace twins
