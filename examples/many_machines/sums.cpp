// SPDX-License-Identifier: MIT
// Thresholds by lists: entmax of other alphas.
#include "lists.hpp"

void many_machines::check_sums(world& w)
{
    decode_by_lists(w, "sparsemax", heed::sparsemax{});
    decode_by_lists(w, "entmax<4>", heed::entmax<4>{});
}
