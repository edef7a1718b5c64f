// SPDX-License-Identifier: MIT
// Gradients: what attend() leaves for backward(), what has one, and a few steps of training.
//
//     forward      attend(def, q, k, v, out, {.stats = {shift, mass}})          two numbers a row, {M, l}
//     backward     backward(def, q, k, v, out, {shift, mass}, dout, {.dq, .dk, .dv, ...})
//
// Weights are computed again from {M, l}, tile by tile; nothing of the size of the scores is ever held. Each gradient
// that has memory is computed, the others are not. No two threads add to the same number, so the bits of a gradient do
// not depend on their count, and a training run is repeated exactly.
//
// What has a gradient: q, k and v; the extra mass of a normalizer (softmax_sink's logits); the parameter of a score
// map, one for each score (`bias`: dbias, summed over whichever dimensions the bias repeats) or one a head (`alibi`:
// dslopes); and, where the loss has it, the row's log-sum-exp (`output_gradients{out, stats, dout, dlse}`).
//
// A normalizer of your own needs `slopes()`, the derivatives of `terms()`; a score map `slope()`. A normalizer with a
// threshold keeps it in the forward pass (`keep_thresholds{taus}`) and knows it in the backward pass
// (`known_thresholds`).
//
// Storage may be bf16 or f16: rows are widened, sums are float, and gradients are float.
//
// A framework wraps the two calls in its own function object: examples/python/package/heed/torch.py does so for PyTorch in
// forty lines, examples/twins trains language models with nothing else.
#include "numbers.hpp"

#include <heed/heed.hpp>

#include <cmath>

int main()
{
    // Learn a bias for each head and key, and keys, so that the outputs become those of a hidden model.
    constexpr std::int64_t heads = 2, queries = 16, keys = 24, dim = 8;
    const heed::extents q_size{1, heads, queries, dim}, kv_size{1, heads, keys, dim}, bias_size{1, heads, 1, keys};
    const std::vector<float> q = numbers(heads * queries * dim, 1), v = numbers(heads * keys * dim, 3),
                             hidden_k = numbers(heads * keys * dim, 2), hidden_bias = numbers(heads * keys, 4);
    const auto Q = heed::bhsd(q, q_size), V = heed::bhsd(v, kv_size);

    const auto definition = [&](const std::vector<float>& bias) {  // one row, repeated for all queries: a stride of 0
        return heed::attention{heed::softmax{}, heed::bias{heed::bhsd(bias, bias_size)}};
    };
    std::vector<float> target(q.size());
    heed::or_throw(
        heed::attend(definition(hidden_bias), Q, heed::bhsd(hidden_k, kv_size), V, heed::bhsd(target, q_size)));

    std::vector<float> k(hidden_k.size()), bias(hidden_bias.size()), out(q.size()), dout(q.size()), dk(k.size()),
        dbias(bias.size()), shift(heads * queries), mass(shift);
    const auto K = heed::bhsd(k, kv_size);
    const auto forward = [&] {  // and the loss: half of the squared distance
        heed::or_throw(heed::attend(definition(bias), Q, K, V, heed::bhsd(out, q_size), {.stats = {shift, mass}}));
        double loss = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
            dout[i] = out[i] - target[i];
            loss += 0.5 * double{dout[i]} * double{dout[i]};
        }
        return loss;
    };
    const auto gradients = [&] {
        heed::gradients<float> to;
        to.dk = heed::bhsd(dk, kv_size);
        to.dbias = heed::bhsd(dbias, bias_size);  // summed over the queries that share it
        heed::or_throw(heed::backward(definition(bias), Q, K, V, heed::bhsd(out, q_size), {shift, mass},
                                      heed::bhsd(dout, q_size), to));
    };

    // A gradient is the slope of the loss: beside the difference of two losses.
    const double before = forward();
    gradients();
    const float step = 1e-2f;
    bias[5] = step;
    const double above = forward();
    bias[5] = -step;
    const double below = forward();
    bias[5] = 0;
    const double by_difference = (above - below) / (2.0 * double{step});
    bool good =
        holds("a gradient is the slope of the loss", std::fabs(by_difference - double{dbias[5]}) < 1e-3 * before);

    double loss = 0;
    for (int i = 0; i < 400; ++i) {
        loss = forward();
        gradients();
        for (std::size_t j = 0; j < k.size(); ++j) k[j] -= 2 * dk[j];
        for (std::size_t j = 0; j < bias.size(); ++j) bias[j] -= 2 * dbias[j];
    }
    std::printf("loss %.4f before, %.4f after 400 steps\n", before, loss);
    good &= holds("training finds the hidden model's outputs", loss < 0.02 * before);
    return good ? 0 : 1;
}
