// SPDX-License-Identifier: MIT
// Training: whole samples are spread over threads, their gradients are added in the order of the samples, and so the
// bits do not depend on the number of threads.
#pragma once

#include "task.hpp"
#include "training_state.hpp"
#include "transformer.hpp"

#include <heed/executor/threads.hpp>

namespace twins {

class trainer {
public:
    /// The task and the pool outlive the trainer. Throws input_error for an unknown normalizer.
    trainer(const settings&, const task&, heed::thread_pool&);

    /// One step of AdamW on one batch, gradient clipped to norm 1, and a point of the curve where one is due. Returns
    /// the loss of the batch.
    double step();

    /// Mean loss of the first windows of the validation part.
    double validation_loss(int64 windows);

    /// Mean loss of windows like those of training.
    double training_loss(int64 windows);

    bool done() const { return state_.step >= settings_.all_steps(); }
    const training_state& state() const { return state_; }
    /// Where another run stands that is this one or, with fewer steps of extension, its beginning.
    void go_on_from(training_state);

    const settings& run() const { return settings_; }
    const layout& places() const { return at_; }
    const attention<float>& normalizer() const { return *attend_; }
    tensors<const float> parameters() const { return {at_, state_.parameters.data()}; }

private:
    struct worker {
        transformer<float> model;
        std::vector<int> window;
    };

    double batch_gradient();
    void apply_gradient();
    template <class Draw>
    double mean_loss(int64 windows, Draw draw);

    const settings settings_;
    const task& task_;
    heed::thread_pool& pool_;
    const layout at_;
    const std::unique_ptr<attention<float>> attend_;
    training_state state_;
    std::vector<worker> workers_;
    std::vector<std::vector<float>> gradients_;  // one a shard; their sum ends in the first
};

}  // namespace twins
