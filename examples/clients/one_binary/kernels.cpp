// SPDX-License-Identifier: MIT
// Compiled once for each CPU. Nothing here but heed's own templates and functions of this file: what else is inline,
// std's containers among it, the linker would take from one of these objects for all.
#include "kernels.hpp"

#include <heed/heed.hpp>

#include <cstdio>

namespace {

int attend_here(const attention* of, char* error, std::size_t error_bytes)
{
    const heed::extents rows{1, of->heads, of->queries, of->dim}, tokens{1, of->kv_heads, of->keys, of->dim};
    const heed::status result =
        heed::attend(heed::attention{heed::softpick{}, heed::causal{}}, heed::bhsd(of->q, rows),
                     heed::bhsd(of->k, tokens), heed::bhsd(of->v, tokens), heed::bhsd(of->out, rows));
    if (!result) std::snprintf(error, error_bytes, "%s", result.message());
    return result ? 0 : -1;
}

}  // namespace

extern const kernels HEED_TABLE;  // a constant is visible to other files where it was declared so
const kernels HEED_TABLE = {heed::isa_name(), &attend_here};
