// SPDX-License-Identifier: MIT
// summarise: one look at the table of an attention_mask, for all heads, layers and calls that use it.
//
//     std::vector<std::byte> memory(heed::summary_bytes(table));
//     heed::mask_summary summary;
//     heed::status s = heed::summarise(table, {memory.data(), memory.size()}, summary);
//     heed::attend(heed::attention{heed::attention_mask{table, summary}}, q, k, v, out);
//
// A host with a loop of its own makes mask_summary(table, memory) and has its threads look at rows of it.
#pragma once

#include "engine/kernel/run_tasks.hpp"
#include "mask/attention_mask.hpp"
#include "options.hpp"

HEED_BEGIN

/// Bytes of memory, of any alignment, that the summary of a table [B, Hq, Sq, Skv] needs: 6 for each row and 512 keys,
/// a table of f16 divided by 170; extents that are repeated count once. 0 for a table without entries, and for one that
/// summarise() refuses for its sizes.
template <class E>
std::size_t summary_bytes(const view<E>& table)
{
    if (detail::is_empty(table.size) || !detail::check_sizes("summary_bytes", "table", table)) return 0;
    return mask_summary::bytes_for(table);
}

/// Looks at every entry of a table of bool, float, f16, bf16 or double once and writes what it says to `memory`, which
/// `to` then refers to. The work may be divided among an executor's threads. Fails, with nothing written, where the
/// table's sizes or pointer are unsound or the memory is less than summary_bytes(); with errc::executor_failed, and
/// `to` as it was, where the executor does not run every task once. Allocates nothing.
template <class E>
status summarise(const view<E>& table, const workspace& memory, mask_summary& to,
                 const executor_ref& executor = {}) noexcept
{
    status s = detail::check_sizes("summarise", "table", table);
    if (s) s = detail::check_memory("summarise", "table", table);
    if (!s) return s;
    if (detail::is_empty(table.size)) {
        to = {};
        return s;
    }
    const std::size_t bytes = mask_summary::bytes_for(table);
    if (bytes == 0)
        return status::error(errc::invalid_argument,
                             "summarise: the summary of a table of [%lld, %lld, %lld, %lld] takes more than 2^63 bytes",
                             static_cast<long long>(table.size.batch), static_cast<long long>(table.size.heads),
                             static_cast<long long>(table.size.tokens), static_cast<long long>(table.size.dim));
    if (!memory.data || memory.bytes < bytes)
        return status::error(errc::workspace_too_small, "summarise: memory of %zu bytes%s, needs %zu", memory.bytes,
                             memory.data ? "" : " at null", bytes);
    mask_summary made(table, memory.data);
    const std::int64_t rows = made.rows(), parts = min_of(rows, std::int64_t{executor.concurrency()} * 4);
    auto look = [&](std::int64_t part, int) {
        made.look_at(table, part * (rows / parts) + min_of(part, rows % parts),
                     (part + 1) * (rows / parts) + min_of(part + 1, rows % parts));
    };
    const double work = static_cast<double>(rows) * static_cast<double>(table.size.dim);
    s = kernel::run_tasks("summarise", work, executor, max_of(parts, 1), look);
    if (s) to = made;
    return s;
}

HEED_END
