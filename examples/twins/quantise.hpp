// SPDX-License-Identifier: MIT
// Weights of few bits, simulated: round-to-nearest by row, 2^bits equally spaced values from the row's smallest number
// (or 0) to its largest (or 0). Matrices of the blocks only; embedding, classifier, norms and sinks stay as they are,
// as GPTQ, HQQ and bitsandbytes leave them.
#pragma once

#include "parameters.hpp"

namespace twins {

inline void round_row(float* row, int64 count, int bits)
{
    float low = 0, high = 0;
    for (int64 i = 0; i < count; ++i) {
        low = std::min(low, row[i]);
        high = std::max(high, row[i]);
    }
    const float step = (high - low) / static_cast<float>((1 << bits) - 1);
    if (!(step > 0)) return;
    const float zero = std::round(-low / step);  // 0 stays 0
    for (int64 i = 0; i < count; ++i) {
        const float level = std::round(row[i] / step) + zero;
        row[i] = (std::clamp(level, 0.0f, static_cast<float>((1 << bits) - 1)) - zero) * step;
    }
}

inline std::vector<float> quantised_parameters(const layout& at, std::vector<float> p, int bits)
{
    for (const tensor t : {tensor::wq, tensor::wk, tensor::wv, tensor::wo, tensor::w1, tensor::w2, tensor::w3}) {
        const tensor_place& place = at.of(t);
        for (int64 row = 0; row < place.layers * place.rows; ++row)
            round_row(p.data() + place.offset + row * place.columns, place.columns, bits);
    }
    return p;
}

}  // namespace twins
