// SPDX-License-Identifier: MIT
// A normalizer whose keys have an order: states go from the last rank to the first, keys from the newest on.
#include "prefill.hpp"

void many_machines::check_ordered(world& w)
{
    const prompt even(w);
    const step s;
    const auto definitions = [](int, heed::query_offset at) {
        // of low scores, so that rows go on over many key tiles
        return heed::attention{heed::stick_breaking{},
                               heed::map_score([](auto score, const auto&) { return score - decltype(score)(6); }),
                               heed::causal{}, at};
    };
    w.heading("keys with an order", "in order        as a tree, off by    bytes between ranks");
    decode(w, "stick_breaking", definitions(0, heed::query_offset{s.keys - s.tokens}), s);
    prefill(w, "stick_breaking, prefill", even, definitions, dense_of_prompt(even),
            even.kv_heads * even.dim * 2 * int64{sizeof(float)});
}
