// SPDX-License-Identifier: MIT
// Caches of 16 bits, and of whole numbers with scales beside them.
#include "prefill.hpp"

void many_machines::check_scales(world& w)
{
    const prompt odd(w.size() * 1024 - 201);
    const step s;
    const auto definitions = [](int, heed::query_offset at) {
        return heed::attention{heed::softpick{}, heed::causal{}, at};
    };
    const auto def = definitions(0, heed::query_offset{s.keys - s.tokens});
    decode_from<dense_of<heed::bf16>>(w, "bf16", def);
    decode_from<scaled>(w, "int8, scales of channels and tokens", def);
    decode_from<scaled_by_block>(w, "4 bits, scales of blocks of tokens", def);
    prefill(
        w, "int8 with scales, prefill", odd, definitions,
        [&](int64 first, int64 end) { return scaled(odd, first, end); }, 0);
}
