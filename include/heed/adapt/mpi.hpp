// SPDX-License-Identifier: MIT
// Attention to a sequence whose keys lie on several machines, over MPI: each rank has a span of the keys in a kv source
// of any kind, attends to it, and the partial results become one.
//
//     heed::mpi::options how;
//     how.comm = comm;
//     heed::mpi::attend(def, q, my_keys, out, {.first_key = my_first, .total_keys = all}, how);   // on every rank
//
// In order (the default): ranks have the keys in the order of their numbers, in spans cut at multiples of
// heed::key_tile keys. All attend at the same time and keep the partial result of each tile; then a running state goes
// from rank to rank, which fold their tiles into it, some rows behind the others. The output has the bits of one
// machine, whatever the number of ranks. As a tree: each rank makes one state of its keys, and MPI_Reduce merges them
// by an MPI_Op.
//
// Each rank but the last sends one state, rows (Dv + 2) numbers, of 32 heads of 128 channels 16.6 KB a token and layer,
// and receives the result, which is as large. What is wrong on one rank is an error on all of them, and nothing is
// written.
#pragma once

#include "../threshold_state.hpp"
#include "mpi/combined.hpp"
#include "mpi/sharded.hpp"

HEED_BEGIN
namespace detail {

/// The candidates of all ranks.
template <class T>
class gathered_states {
public:
    gathered_states(const mpi_ranks& ranks, const threshold_state<T>& own) : ranks_(ranks), own_(own) {}

    status check() const
    {
        if (bytes().fits() && scores() * std::int64_t{sizeof(T)} <= INT_MAX && rows_bytes() <= INT_MAX) return {};
        return status::error(errc::invalid_argument, "merge: %lld rows of %lld places: MPI counts to 2^31",
                             static_cast<long long>(own_.count()), static_cast<long long>(own_.size.dim));
    }
    checked bytes() const
    {
        return checked(ranks_.size()) * (checked(rows_bytes()) + scores() * std::int64_t{sizeof(T)}) + 64;
    }
    void take(void* memory)
    {
        char* const first = kernel::first_line(memory);
        rows_ = reinterpret_cast<row_candidates<T>*>(first);
        scores_ = reinterpret_cast<T*>(first + ranks_.size() * rows_bytes());
    }
    void gather()
    {
        MPI_Request requests[2];
        ranks_.must(MPI_Iallgather(own_.rows, static_cast<int>(rows_bytes()), MPI_BYTE, rows_,
                                   static_cast<int>(rows_bytes()), MPI_BYTE, ranks_.comm(), requests));
        const int n = static_cast<int>(scores());
        ranks_.must(
            MPI_Iallgather(own_.scores, n, mpi_number<T>(), scores_, n, mpi_number<T>(), ranks_.comm(), requests + 1));
        ranks_.wait(requests, 2, "the candidates of", -1);
    }
    threshold_state<T> of(int rank) const
    {
        return {rows_ + rank * own_.count(), scores_ + rank * scores(), own_.size};
    }
    void copy_to(const threshold_state<T>& s) const
    {
        std::copy_n(rows_, s.count(), s.rows);
        std::copy_n(scores_, scores(), s.scores);
    }

private:
    std::int64_t rows_bytes() const { return own_.count() * static_cast<std::int64_t>(sizeof(row_candidates<T>)); }
    std::int64_t scores() const { return own_.count() * own_.size.dim; }

    const mpi_ranks& ranks_;
    const threshold_state<T>& own_;
    row_candidates<T>* rows_ = nullptr;
    T* scores_ = nullptr;
};

/// Attends on all ranks, and lets `write` do with the call what it likes where no rank has an error.
template <class Def, class Queries, class Kv, class Check, class Write>
status attend_on_ranks(const char* verb, mpi_attention_of<Def, Queries, Kv> of, const mpi::options& how, Check check,
                       Write write)
{
    const mpi_ranks ranks(verb, how);
    if (!ranks.status()) return ranks.status();
    mpi_attention<Def, Queries, Kv> call(ranks, of, how);
    status own = first_error([&] { return call.check(); }, [&] { return check(call.size()); });
    const memory_of_call memory(verb, call, how.workspace, own);
    if (how.queries_from >= 0) {
        if (const status s = call.agree(own); !s) return s;
        call.send_queries();
    }
    if (own) own = call.attend();
    if (const status s = call.agree(own); !s) return s;
    return write(call);
}

}  // namespace detail

namespace mpi {

/// The memory that a call of these arguments works in: one state {M, l, o} for each key tile of this rank where states
/// are combined in order, two more, and what its workers need. 0 where attend() has something to say about them.
template <class Def, class Queries, class Kv>
std::size_t workspace_bytes(const Def& def, const Queries& q, const Kv& kv, const key_part& part = {},
                            const options& how = {})
{
    const detail::mpi_ranks ranks("workspace_bytes", how);
    if (!ranks.status()) return 0;
    detail::mpi_attention<Def, Queries, Kv> call(ranks, {def, q, kv, part}, how);
    return call.check() ? static_cast<std::size_t>(call.bytes().value()) : 0;
}

/// The state of `q` and the keys of all ranks, on each of them: what heed::attend_partial() makes of a cleared state
/// and all keys. `kv` holds the keys of this rank, those `part` says (part.total_keys: of the whole sequence); a rank
/// may have none. Queries, definition, sizes and options are the same on all. Of packed queries, and of caches of
/// several sequences, the keys of a rank are the same positions of each sequence, as far as it reaches; where lengths
/// differ the definition has a heed::query_offset, as no rank knows them all.
///
/// Returns a status, false on every rank where it is false on one; nothing is written then.
template <class Def, class Queries, class Kv>
status attend_partial(const Def& def, const Queries& q, const Kv& kv, const state<detail::computed_of<Queries>>& s,
                      const key_part& part = {}, const options& how = {})
{
    static_assert(detail::sound_thresholds<detail::definition_t<Def>>::value);
    const auto check = [&](const extents& size) {
        return detail::first_error([&] { return detail::check_extents("attend_partial", "state", s.size, size); },
                                   [&] { return detail::check_state("attend_partial", "state", s); });
    };
    return detail::attend_on_ranks<Def, Queries, Kv>("attend_partial", {def, q, kv, part}, how, check, [&](auto& call) {
        call.combine(s);
        return status{};
    });
}

/// out = attention of `q` to the keys of all ranks, on each of them: attend_partial() and heed::finish().
template <class Def, class Queries, class Kv, class O>
status attend(const Def& def, const Queries& q, const Kv& kv, const view<O>& out, const key_part& part = {},
              const options& how = {})
{
    static_assert(detail::sound_thresholds<detail::definition_t<Def>>::value);
    const auto check = [&](const extents& size) {
        status s = detail::check_written_tensor("attend", "out", out, size);
        kv.views([&](const char* name, const auto& rows) {
            if (s && detail::may_overlap(out, rows))
                s = status::error(errc::invalid_argument, "attend: out overlaps %s", name);
        });
        return s;
    };
    return detail::attend_on_ranks<Def, Queries, Kv>("attend", {def, q, kv, part}, how, check, [&](auto& call) {
        call.combine(call.own_state());
        return finish(def, call.own_state(), out);
    });
}

/// The memory that merge() of such a state works in: the states of all ranks.
template <class T>
std::size_t workspace_bytes(const threshold_state<T>& s, const options& how = {})
{
    const detail::mpi_ranks ranks("workspace_bytes", how);
    if (!ranks.status() || !detail::check_state("merge", "state", s)) return 0;
    return static_cast<std::size_t>(detail::gathered_states<T>(ranks, s).bytes().value());
}

/// s = the merged states of all ranks, on each of them: what their keys together say of the thresholds of rows, where
/// heed::threshold_partial() has put into `s` what those of this rank say. Of the definition only the normalizer is
/// used. Then heed::threshold() gives the thresholds of one machine, and with heed::known_thresholds attend() its bits:
///
///     heed::clear(lists);
///     heed::threshold_partial(def, q, my_keys, lists, part);
///     heed::mpi::merge(def, lists, how);
///     heed::threshold(def, lists, taus);
///     heed::mpi::attend(heed::attention{heed::entmax15{}, heed::known_thresholds{taus}}, q, my_keys, out, part, how);
///
/// Returns a status, false on every rank where it is false on one; nothing is written then.
template <class Def, class T>
status merge(const Def& def, const threshold_state<T>& s, const options& how = {})
{
    const detail::mpi_ranks ranks("merge", how);
    if (!ranks.status()) return ranks.status();
    detail::gathered_states<T> all(ranks, s);
    status own =
        detail::first_error([&] { return detail::check_state("merge", "state", s); },
                            [&] { return detail::check_normalizer(def, s.size); }, [&] { return all.check(); });
    const detail::memory_of_call memory("merge", all, how.workspace, own);
    if (const status ok = ranks.agree(own, {{"state.batch", s.size.batch},
                                            {"state.heads", s.size.heads},
                                            {"state.tokens", s.size.tokens},
                                            {"the number of places", s.size.dim},
                                            {"bytes of a number", std::int64_t{sizeof(T)}}});
        !ok)
        return ok;
    all.gather();
    for (int rank = 1; rank < ranks.size(); ++rank)
        if (const status ok = heed::merge(def, all.of(0), all.of(rank)); !ok) return ok;
    all.copy_to(s);
    return {};
}

/// Calls visit(keys, part) on every rank for all keys of all ranks, some key tiles at a time and in the order of their
/// positions, the next ones under way meanwhile: `keys` is a kv source, `part` says which keys of the sequence they
/// are. The two spans of each rank (one may be empty) make up the sequence from key 0 on, cut at multiples of
/// heed::key_tile, and needs(first, end) says whether this rank needs to see any of these keys. A visit returns a
/// status; the first false one is returned on every rank, behind the last message.
template <class Kv, class Needs, class Visit>
status travel(const span<Kv> (&mine)[2], Needs needs, Visit visit, const options& how = {})
{
    const detail::mpi_ranks ranks("travel", how);
    if (!ranks.status()) return ranks.status();
    detail::travelling_keys<Kv> keys(ranks, mine);
    status own = keys.check();
    const detail::memory_of_call memory("travel", keys, how.workspace, own);
    if (const status s = keys.agree(own); !s) return s;
    if (const status s = keys.share(); !s) return s;
    own = keys.run(false, needs, [&](const auto& some, std::int64_t first) {
        return visit(some, key_part{first, keys.total(), 1});
    });
    return keys.agree(own);
}

/// The memory that attend_sharded() of these arguments works in: the keys and values of this rank once more, the states
/// of its queries, and what its workers need.
template <class Definitions, class Q, class Kv, class O>
std::size_t workspace_bytes(const Definitions& definitions, const shard<Q, Kv, O> (&mine)[2], const options& how = {})
{
    const detail::mpi_ranks ranks("workspace_bytes", how);
    if (!ranks.status()) return 0;
    const detail::mpi_prefill<Definitions, Q, Kv, O> call(ranks, definitions, mine, how);
    return call.check() ? static_cast<std::size_t>(call.bytes().value()) : 0;
}

/// out = attention of the queries of this rank to the keys of all ranks: prefill, where each rank has two parts of the
/// sequence, cut at multiples of heed::key_tile (part_of() says which make a causal prefill balanced). Keys and values
/// travel as they are stored to the ranks whose masks let them attend to them, and are folded in their order: the
/// outputs have the bits of one machine. definitions(i, at) is the definition of part i with the heed::query_offset
/// `at` in it, and of all parts the same otherwise:
///
///     const auto def = [](int, heed::query_offset at) {
///         return heed::attention{heed::softpick{}, heed::causal{}, at};
///     };
///     heed::mpi::attend_sharded(def, {early, late}, how);
///
/// Returns a status, false on every rank where it is false on one; nothing is written then.
template <class Definitions, class Q, class Kv, class O>
status attend_sharded(const Definitions& definitions, const shard<Q, Kv, O> (&mine)[2], const options& how = {})
{
    const detail::mpi_ranks ranks("attend_sharded", how);
    if (!ranks.status()) return ranks.status();
    detail::mpi_prefill<Definitions, Q, Kv, O> call(ranks, definitions, mine, how);
    status own = call.check();
    const detail::memory_of_call memory("attend_sharded", call, how.workspace, own);
    if (const status s = call.agree(own); !s) return s;
    if (const status s = call.attend(); !s) return s;
    return call.finish_all();
}

}  // namespace mpi
HEED_END
