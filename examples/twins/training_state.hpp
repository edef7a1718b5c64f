// SPDX-License-Identifier: MIT
// Where a run stands: with it, a run that was interrupted gives the bits of one that was not.
#pragma once

#include "report.hpp"
#include "settings.hpp"

namespace twins {

struct training_state {
    int64 step = 0;                                   // done so far; also the key of the next batch
    std::vector<float> parameters, moment1, moment2;  // AdamW's
    double recent_loss = 0;                           // summed over the steps since the last point of the curve
    loss_curve curve;

    training_state() = default;
    training_state(const layout& at, std::uint64_t seed)
        : parameters(initial_parameters<float>(at, seed)), moment1(parameters.size()), moment2(parameters.size())
    {}
};

/// A checkpoint to go on from; whole or not there.
void write_training_state(const training_state&, const settings&, const std::string& path);

/// Throws input_error with one line for a file that is no such checkpoint, is damaged, or was made by another run.
training_state read_training_state(const settings&, const layout& at, const std::string& path);

}  // namespace twins
