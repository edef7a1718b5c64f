// SPDX-License-Identifier: MIT
// Attention in a dozen lines: one query per head looks at three keys, with softmax and with softpick. The second
// head likes none of its keys: softmax must attend to something all the same, softpick attends to nothing.
#include <heed/heed.hpp>

#include <cstdio>

int main()
{
    const float q[] = {2, 0, /**/ -2, 0};  // [1, 2 heads, 1 token, 2 channels]
    const float k[] = {1, 0, 0, 1, 2, 0};  // [1, 1 head,  3 tokens, 2 channels], shared by both heads
    const float v[] = {10, 1, 20, 2, 30, 3};
    float out[4];

    const auto Q = heed::bhsd(q, {.batch = 1, .heads = 2, .tokens = 1, .dim = 2});
    const auto K = heed::bhsd(k, {.batch = 1, .heads = 1, .tokens = 3, .dim = 2});
    const auto V = heed::bhsd(v, {.batch = 1, .heads = 1, .tokens = 3, .dim = 2});
    const auto O = heed::bhsd(out, {.batch = 1, .heads = 2, .tokens = 1, .dim = 2});

    heed::or_throw(heed::attend(Q, K, V, O));
    std::printf("softmax    head 0: %5.2f %5.2f    head 1: %5.2f %5.2f\n", out[0], out[1], out[2], out[3]);

    heed::or_throw(heed::attend(heed::attention{heed::softpick{}, heed::causal{}}, Q, K, V, O));
    std::printf("softpick   head 0: %5.2f %5.2f    head 1: %5.2f %5.2f\n", out[0], out[1], out[2], out[3]);

    std::printf("compiled for %s\n", heed::isa_name());
}
