// SPDX-License-Identifier: MIT
// Caches in pages and rings, and behind padding, of floats and of quantised blocks.
#include "prefill.hpp"

void many_machines::check_caches(world& w)
{
    const prompt even(w);
    const step s;
    const auto definitions = [](int, heed::query_offset at) {
        return heed::attention{heed::softpick{}, heed::causal{}, at};
    };
    const auto def = definitions(0, heed::query_offset{s.keys - s.tokens});
    w.heading("caches, softpick", "in order        as a tree, off by    bytes between ranks");
    decode_from<pages_of<heed::q8_0>>(w, "pages of q8_0", def);
    decode_from<ring_of>(w, "a ring", def);
    decode_from<pinned_ring_of>(w, "a ring with pinned tokens", def);
    decode_from<left_padded_of>(w, "behind padding", def);
    prefill(
        w, "pages of q8_0, prefill", even, definitions,
        [&](int64 first, int64 end) { return pages_of<heed::q8_0>(even, first, end); },
        even.kv_heads * 2 * int64{sizeof(heed::q8_0)});
}
