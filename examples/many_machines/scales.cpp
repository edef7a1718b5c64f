// SPDX-License-Identifier: MIT
// Caches of 16 bits, and of 8 and fewer with scales beside them; products of whole numbers.
#include "prefill.hpp"

namespace many_machines {
namespace {

/// Beside this rank with all keys: the same kernels, of which those of other elements are compared with attend()'s.
template <class Cache, class Def>
void decode_alone(world& w, const std::string& name, const Def& def)
{
    const step s;
    decode<reference::own_communicator>(w, name, def, s, [&](int64 first, int64 end) { return Cache(s, first, end); });
}

}  // namespace
}  // namespace many_machines

void many_machines::check_scales(world& w)
{
    const prompt odd(w.size() * 1024 - 201);
    const step s;
    const auto definitions = [](int, heed::query_offset at) {
        return heed::attention{heed::softpick{}, heed::causal{}, at};
    };
    const auto def = definitions(0, heed::query_offset{s.keys - s.tokens});
    decode_from<dense_of<heed::bf16>>(w, "bf16", def);
    decode_alone<dense_of<heed::f16>>(w, "f16", def);
    decode_alone<scaled_by_token<heed::fp8_e4m3>>(w, "fp8, scales of tokens", def);
    decode_from<scaled>(w, "int8, scales of channels and tokens", def);
    decode_from<scaled_by_block>(w, "4 bits, scales of blocks of tokens", def);
    decode_from<dense_of<heed::q8_0>>(w, "q8_0, products of integers",
                                      heed::attention{heed::softpick{}, heed::causal{}, heed::compute<std::int8_t>{},
                                                      heed::query_offset{s.keys - s.tokens}});
    prefill(
        w, "int8 with scales, prefill", odd, definitions,
        [&](int64 first, int64 end) { return scaled(odd, first, end); }, 0);
}
