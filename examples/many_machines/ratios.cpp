// SPDX-License-Identifier: MIT
// Decode with the other normalizers of weight over mass.
#include "decode.hpp"

void many_machines::check_ratios(world& w)
{
    const std::vector<float> logits = {-1, 0.5, 2, 0};  // of the extra mass of a head, which is added once
    const std::vector<float> slopes = {0.5, 0.25, 0.125, 0.0625};
    constexpr reference by = reference::own_communicator;
    w.heading("decode: other normalizers", "in order        as a tree, off by    bytes between ranks");
    decode<by>(w, "softmax1", heed::attention{heed::softmax1{}, heed::causal{}});
    decode<by>(w, "softmax_sink", heed::attention{heed::softmax_sink{logits}, heed::causal{}});
    decode<by>(w, "sigmoid", heed::attention{heed::sigmoid{-2}, heed::causal{}});
    decode<by>(w, "relu<2>", heed::attention{heed::relu<2>{}, heed::causal{}});
    decode<by>(w, "softpick, window 700, alibi",
               heed::attention{heed::softpick{}, heed::window{700, 0}, heed::alibi{slopes}});
}
