// SPDX-License-Identifier: MIT
// What the backward pass is given of the forward pass and of the loss.
#pragma once

#include "base/view.hpp"
#include "options.hpp"

HEED_BEGIN

/// What attend() left, and the gradients of a scalar loss in it: in the output and, where the loss has it, in each
/// row's natural log of the denominator.
///
///     heed::backward(def, heed::packed{q, cu_seqlens}, kv, heed::output_gradients{out, stats, dout, dlse}, to);
///
/// A loss of {M, l} has a gradient in l alone, as M is a whole number: dlse = dl * l.
template <class O, class DO = O>
struct output_gradients {
    view<O> out;                                ///< [B, Hq, Sq, Dv]
    row_statistics<compute_t<O>> stats;         ///< shift and mass, as attend() wrote them
    view<DO> dout;                              ///< [B, Hq, Sq, Dv]
    number_view<const compute_t<O>> dlse = {};  ///< [B, Hq, Sq], as row_statistics::lse; null: 0
};
template <class O, class DO>
output_gradients(view<O>, row_statistics<compute_t<O>>, view<DO>) -> output_gradients<O, DO>;
template <class O, class DO>
output_gradients(view<O>, row_statistics<compute_t<O>>, view<DO>, number_view<const compute_t<O>>)
    -> output_gradients<O, DO>;

HEED_END
