// SPDX-License-Identifier: MIT
// The key tiles of a sequence that hold any token. Where a source has lost tokens between those that it holds, tiles of
// lost tokens alone are left out, so that the work follows what is held; other sources compile none of it.
#pragma once

#include "../../kv/contract.hpp"
#include "../micro/tuning.hpp"

HEED_BEGIN
namespace kernel {

/// What a sequence holds, and the tokens in between that are there no more.
struct interrupted_span : token_span {
    token_span gone;

    /// Tiles of `gone` alone, which tokens that are held follow.
    std::int64_t first_tile() const { return ceil_div(gone.first, micro::key_tile); }
    std::int64_t tiles() const { return max_of(gone.end / micro::key_tile - first_tile(), 0); }
};

/// held(b), as a span or, of a source with gone(), an interrupted one.
template <class Kv>
auto held_of(const Kv& kv, std::int64_t b)
{
    if constexpr (has_gone_v<Kv>) return interrupted_span{kv.held(b), kv.gone(b)};
    else return kv.held(b);
}

/// The tile-th key tile that holds tokens of sequence b, counted from the sequence's first.
template <class Kv>
HEED_INLINE std::int64_t held_tile(const Kv& kv, std::int64_t b, std::int64_t tile)
{
    if constexpr (has_gone_v<Kv>) {
        const interrupted_span held = held_of(kv, b);
        const std::int64_t at = held.first / micro::key_tile + tile;
        return at < held.first_tile() ? at : at + held.tiles();
    } else {
        return kv.held(b).first / micro::key_tile + tile;
    }
}

/// Whether sequence b holds tokens of a key tile, counted from position 0.
template <class Kv>
bool holds_tile(const Kv& kv, std::int64_t b, std::int64_t tile)
{
    const auto held = held_of(kv, b);
    if (tile < held.first / micro::key_tile || tile * micro::key_tile >= held.end) return false;
    if constexpr (has_gone_v<Kv>) return tile < held.first_tile() || tile >= held.first_tile() + held.tiles();
    return true;
}

}  // namespace kernel
HEED_END
