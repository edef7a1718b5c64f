// SPDX-License-Identifier: MIT
// Attention to the keys of all ranks: each attends to its own, and the states of all become one.
#pragma once

#include "records.hpp"
#include "tokens_of.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

HEED_BEGIN
namespace detail {

/// What a rank brings to a call.
template <class Def, class Queries, class Kv>
struct mpi_attention_of {
    const Def& def;
    const Queries& q;
    const Kv& kv;
    key_part part;
};

/// A call over the keys of all ranks.
template <class Def, class Queries, class Kv>
class mpi_attention {
    using T = computed_of<Queries>;
    using definition = definition_t<Def>;
    using source = tokens_of<Kv>;
    static constexpr bool has_order = has_order_v<typename definition::normalizer_type>;
    static constexpr int turns = 8;  // in which the rows of a state go from rank to rank

public:
    mpi_attention(const mpi_ranks& ranks, const mpi_attention_of<Def, Queries, Kv>& of, const mpi::options& how)
        : ranks_(ranks), def_(of.def), q_(of.q), kv_(of.kv), part_(of.part), how_(how),
          size_(packed_of<Queries>(of.q).rows.size)
    {
        size_.dim = kv_.value_dim();
    }

    /// What is wrong with the arguments of this rank. Nothing else is asked before this is true, but agree().
    status check()
    {
        using ll = long long;
        const char* const verb = ranks_.verb();
        const packed_of<Queries> q = q_;
        if (const status s = first_error([&] { return check_inputs(verb, q, kv_); },
                                         [&] { return check_input_memory(verb, q, kv_); });
            !s)
            return s;
        keys_ = kv_.tokens();
        if (!within_limit(part_.first_key) || part_.first_key < 0)
            return status::error(errc::invalid_argument, "%s: part.first_key is %lld", verb, ll{part_.first_key});
        if (in_order() && (part_.first_key % key_tile != 0 || part_.tile_stride != 1))
            return status::error(errc::invalid_argument,
                                 "%s: part.first_key is %lld and part.tile_stride %lld: to be combined in order, spans "
                                 "begin at multiples of %d and have every key tile",
                                 verb, ll{part_.first_key}, ll{part_.tile_stride}, key_tile);
        if (part_.total_keys < 0) part_.total_keys = part_.first_key + keys_;
        if (const status s = check_sender(); !s) return s;
        if (!record_bytes().fits() || record_bytes().value() > INT_MAX) return too_large();
        scratch_bytes_ = scratch();
        return bytes().fits() ? status{} : too_large();
    }

    /// Sends the queries of one rank to all.
    void send_queries() const
    {
        const packed_of<Queries> q = q_;
        MPI_Datatype type = mpi_rows(ranks_, q.rows);
        MPI_Request request;
        ranks_.must(MPI_Ibcast(const_cast<void*>(static_cast<const void*>(q.rows.data)), 1, type, how_.queries_from,
                               ranks_.comm(), &request));
        ranks_.wait(request, "the queries of", how_.queries_from == ranks_.rank() ? -1 : how_.queries_from);
        MPI_Type_free(&type);
    }

    /// Of the workspace.
    checked bytes() const
    {
        const checked numbers = checked(rows()) * (size_.dim + 2) * (units() + 2);
        return numbers * sizeof(T) + checked(workers()) * scratch_bytes_ + 2 * 64;
    }

    void take(void* memory) { memory_ = kernel::first_line(memory); }

    /// Attends to the keys of this rank, each unit into a state of its own.
    status attend()
    {
        return first_error([&] { return attend_units(); }, [&] { return check_positions(); });
    }

    /// That all ranks have the same problem, and their keys where they say.
    status agree(status own) const
    {
        if (own) own = check_neighbour();
        else (void)check_neighbour();  // the others wait for what this rank says to them
        const packed_of<Queries> q = q_;
        const status s = ranks_.agree(own, {{"the number of queries", size_.tokens},
                                            {"q.batch", size_.batch},
                                            {"q.heads", size_.heads},
                                            {"q.dim", q.rows.size.dim},
                                            {"v.dim", size_.dim},
                                            {"kv.heads", kv_.heads()},
                                            {"the number of sequences", kv_.batch()},
                                            {"bytes of a number", std::int64_t{sizeof(T)}},
                                            {"part.total_keys", part_.total_keys},
                                            {"whether sequences have lengths of their own", kv_.ragged()},
                                            {"options.combine", static_cast<std::int64_t>(how_.combine)}});
        return s && kv_.ragged() && is_ordered() ? check_lengths() : s;
    }

    /// Where a state of this call's size may be kept once combine() is there.
    state<T> own_state() const { return state_of(0); }
    const extents& size() const { return size_; }

    /// Makes one state of those of all ranks, and leaves it in `to` on each.
    void combine(const state<T>& to)
    {
        if (rows() == 0) return;
        if (in_order()) pass_on();
        else reduce();
        const std::int64_t dim = size_.dim;
        for (std::int64_t i = 0; i < rows(); ++i) {
            const T* const r = record(result(), i);
            to.shift[i] = r[0];
            to.mass[i] = r[1];
            std::copy_n(r + 2, dim, to.out + i * dim);
        }
    }

private:
    bool in_order() const { return how_.combine == mpi::combine::in_order; }
    /// Whether the keys of a rank come behind those of the ranks before it.
    bool is_ordered() const { return in_order() || has_order; }
    std::int64_t rows() const { return size_.batch * size_.heads * size_.tokens; }
    checked record_bytes() const { return checked(rows()) * (size_.dim + 2) * sizeof(T); }
    status too_large() const
    {
        return status::error(errc::invalid_argument, "%s: states of %lld rows of %lld channels: MPI counts to 2^31",
                             ranks_.verb(), static_cast<long long>(rows()), static_cast<long long>(size_.dim));
    }

    // Ranks in the order in which they fold.
    int place() const { return has_order ? ranks_.size() - 1 - ranks_.rank() : ranks_.rank(); }
    int rank_at(int place) const { return has_order ? ranks_.size() - 1 - place : place; }
    bool is_last() const { return place() == ranks_.size() - 1; }

    /// Key tiles that are folded into a state of other ranks; or all keys, where there is none before.
    std::int64_t units() const
    {
        if (!in_order() || place() == 0) return 1;
        return max_of(ceil_div(keys_, key_tile), 1);
    }
    source unit(std::int64_t i) const
    {
        if (units() == 1) return {kv_, 0, keys_};
        return {kv_, i * key_tile, min_of(key_tile, keys_ - i * key_tile)};
    }
    int workers() const { return units() == 1 ? 1 : how_.executor.concurrency(); }
    /// Bytes that attending to a unit needs.
    std::int64_t scratch() const
    {
        std::size_t most = 0;
        for (std::int64_t i = 0; i < units(); ++i) {
            options<T> with;
            if (units() == 1) with.executor = how_.executor;
            const std::size_t n = plan<definition, T>(def_, q_, unit(i), with).workspace_bytes();
            most = n > most ? n : most;
        }
        return static_cast<std::int64_t>((most + 63) / 64 * 64);
    }

    // The workspace: the states of units, the records that run through the ranks, the result, scratch.
    state<T> state_of(std::int64_t i) const
    {
        T* const shift = reinterpret_cast<T*>(memory_) + i * rows() * (size_.dim + 2);
        return {shift, shift + rows(), shift + 2 * rows(), size_};
    }
    T* running() const { return state_of(units()).shift; }
    T* result() const { return state_of(units() + 1).shift; }
    T* record(T* first, std::int64_t i) const { return first + i * (size_.dim + 2); }
    workspace scratch_of(int worker) const
    {
        char* const first = reinterpret_cast<char*>(state_of(units() + 2).shift) + worker * scratch_bytes_;
        return {first, static_cast<std::size_t>(scratch_bytes_)};
    }

    status attend_units()
    {
        if (units() == 1) return attend_unit(0, how_.executor, scratch_of(0));
        std::atomic<std::int64_t> done{0}, failed{-1};
        auto task = [&](std::int64_t i, int worker) {
            if (!attend_unit(i, {}, scratch_of(worker))) failed = i;
            ++done;
        };
        how_.executor(units(), task_ref(task));
        if (failed >= 0) return attend_unit(failed, {}, scratch_of(0));
        if (done == units()) return {};
        return status::error(errc::executor_failed, "%s: the executor ran %lld of %lld tasks", ranks_.verb(),
                             static_cast<long long>(done), static_cast<long long>(units()));
    }
    status attend_unit(std::int64_t i, executor_ref executor, const workspace& scratch) const
    {
        const source keys = unit(i);
        options<T> with;
        with.executor = executor;
        with.workspace = scratch;
        key_part part = part_;
        part.first_key += keys.first;
        const plan<definition, T> p(def_, q_, keys, with);
        return first_error([&] { return clear(def_, state_of(i)); },
                           [&] { return p.run_partial(q_, keys, state_of(i), part, with); });
    }

    /// That the queries of another rank can be received.
    status check_sender() const
    {
        const int from = how_.queries_from;
        const packed_of<Queries> q = q_;
        if (from < 0 || from == ranks_.rank()) return {};
        if (from >= ranks_.size() || std::is_const_v<element_of<Queries>>)
            return status::error(errc::invalid_argument, "%s: options.queries_from is %d: %s", ranks_.verb(), from,
                                 from >= ranks_.size() ? "there are fewer ranks" : "the elements of q are const");
        return check_output(ranks_.verb(), "q", q.rows);
    }

    /// No rank knows the lengths of all sequences.
    status check_positions() const
    {
        if constexpr (definition::has_mask || definition::has_score_maps) {
            const definition def(def_);
            if (kv_.ragged() && kv_.batch() > 1 && def.position_of_row_0(0, 0, 0) != def.position_of_row_0(0, 0, 1))
                return status::error(
                    errc::invalid_argument,
                    "%s: %lld sequences of lengths of their own, of which this rank knows its part: the "
                    "definition says where queries stand with a heed::query_offset",
                    ranks_.verb(), static_cast<long long>(kv_.batch()));
        }
        return {};
    }

    /// That no sequence lacks keys between those that ranks have. All ranks come to the same conclusion.
    status check_lengths() const
    {
        constexpr int some = 64;
        std::int64_t ends[some], keys[some];
        for (std::int64_t first = 0; first < kv_.batch(); first += some) {
            const int n = static_cast<int>(min_of(some, kv_.batch() - first));
            for (int b = 0; b < n; ++b) {
                const token_span held = kv_.held(first + b);
                ends[b] = held.end > 0 ? part_.first_key + held.end : 0;
                keys[b] = held.end + (ranks_.rank() == 0 ? part_.first_key : 0);  // those before the first rank's too
            }
            MPI_Request requests[2];
            ranks_.must(MPI_Iallreduce(MPI_IN_PLACE, ends, n, MPI_INT64_T, MPI_MAX, ranks_.comm(), requests));
            ranks_.must(MPI_Iallreduce(MPI_IN_PLACE, keys, n, MPI_INT64_T, MPI_SUM, ranks_.comm(), requests + 1));
            ranks_.wait(requests, 2, "the lengths of", -1);
            for (int b = 0; b < n; ++b)
                if (ends[b] > 0 && ends[b] != keys[b])
                    return status::error(errc::invalid_argument,
                                         "%s: sequence %lld ends at key %lld, and the ranks have %lld of its keys: it "
                                         "ends on one rank, and goes on on none behind",
                                         ranks_.verb(), static_cast<long long>(first + b),
                                         static_cast<long long>(ends[b]), static_cast<long long>(keys[b]));
        }
        return {};
    }

    /// Where keys are combined in their order, the next rank has those behind the keys of this one.
    status check_neighbour() const
    {
        if (!is_ordered()) return {};
        const int rank = ranks_.rank();
        const std::int64_t mine = part_.first_key, end = mine + keys_;
        std::int64_t next = end;
        MPI_Request requests[2] = {MPI_REQUEST_NULL, MPI_REQUEST_NULL};
        if (rank > 0) ranks_.send(&mine, sizeof(mine), rank - 1, requests[0]);
        if (rank + 1 < ranks_.size()) ranks_.receive(&next, sizeof(next), rank + 1, requests[1]);
        ranks_.wait(requests, 2, "the place of its keys from", rank + 1 < ranks_.size() ? rank + 1 : rank - 1);
        if (next == end || (next > end && kv_.ragged())) return {};
        return status::error(errc::invalid_argument,
                             "%s: rank %d has keys [%lld, %lld), and rank %d those from %lld on: spans follow each "
                             "other in the order of ranks",
                             ranks_.verb(), rank, static_cast<long long>(mine), static_cast<long long>(end), rank + 1,
                             static_cast<long long>(next));
    }

    /// Folds the units of this rank into the running state of row i.
    void fold(std::int64_t i)
    {
        const state<T> into = state_of_record(record(running(), i), size_.dim);
        for (std::int64_t n = 0; n < units(); ++n) {
            const state<T> unit = state_of_row(state_of(has_order ? units() - 1 - n : n), i);
            (void)(has_order ? merge_left(into, unit) : merge(into, unit));
        }
    }
    void copy_records(T* to)
    {
        for (std::int64_t i = 0; i < rows(); ++i) {
            const state<T> from = state_of_row(state_of(0), i);
            T* const r = record(to, i);
            r[0] = *from.shift;
            r[1] = *from.mass;
            std::copy_n(from.out, size_.dim, r + 2);
        }
    }

    /// The running state goes from rank to rank, some rows at a time, and from the last one to all.
    void pass_on()
    {
        const std::int64_t n = min_of(turns, rows());
        const auto first = [&](std::int64_t turn) { return turn * rows() / n; };
        const auto bytes = [&](std::int64_t turn) {
            return (first(turn + 1) - first(turn)) * (size_.dim + 2) * static_cast<std::int64_t>(sizeof(T));
        };
        const int last = rank_at(ranks_.size() - 1);
        MPI_Request from_before[turns], to_next[turns], to_all[turns];
        const int count = static_cast<int>(n);
        for (int turn = 0; turn < count; ++turn) {
            from_before[turn] = to_next[turn] = to_all[turn] = MPI_REQUEST_NULL;
            if (place() > 0)
                ranks_.receive(record(running(), first(turn)), bytes(turn), rank_at(place() - 1), from_before[turn]);
            if (!is_last()) broadcast(record(result(), first(turn)), bytes(turn), last, to_all[turn]);
        }
        if (place() == 0) copy_records(running());
        for (int turn = 0; turn < count; ++turn) {
            T* const records = record(running(), first(turn));
            if (place() > 0) {
                ranks_.wait(from_before[turn], "the state of", rank_at(place() - 1));
                for (std::int64_t i = first(turn); i < first(turn + 1); ++i) fold(i);
            }
            if (!is_last()) {
                ranks_.send(records, bytes(turn), rank_at(place() + 1), to_next[turn]);
            } else {
                std::memcpy(record(result(), first(turn)), records, static_cast<std::size_t>(bytes(turn)));
                broadcast(record(result(), first(turn)), bytes(turn), last, to_all[turn]);
            }
        }
        if (!is_last()) ranks_.wait(to_next, count, "its state to be taken by", rank_at(place() + 1));
        ranks_.wait(to_all, count, "the result of", last);
    }
    void broadcast(void* data, std::int64_t bytes, int from, MPI_Request& request) const
    {
        ranks_.must(MPI_Ibcast(data, static_cast<int>(bytes), MPI_BYTE, from, ranks_.comm(), &request));
    }

    void reduce()
    {
        copy_records(running());
        MPI_Datatype row;
        MPI_Op merging;
        ranks_.must(MPI_Type_contiguous(static_cast<int>(size_.dim + 2), mpi_number<T>(), &row));
        ranks_.must(MPI_Type_commit(&row));
        ranks_.must(MPI_Op_create(merge_records<T, has_order>, !has_order, &merging));
        MPI_Request request;
        ranks_.must(
            MPI_Ireduce(running(), result(), static_cast<int>(rows()), row, merging, 0, ranks_.comm(), &request));
        ranks_.wait(request, "the states of");
        broadcast(result(), record_bytes().value(), 0, request);
        ranks_.wait(request, "the result of", ranks_.rank() == 0 ? -1 : 0);
        MPI_Op_free(&merging);
        MPI_Type_free(&row);
    }

    const mpi_ranks& ranks_;
    const Def& def_;
    const Queries& q_;
    const Kv& kv_;
    key_part part_;
    const mpi::options& how_;
    extents size_;  // of the states
    char* memory_ = nullptr;
    std::int64_t keys_ = 0, scratch_bytes_ = 0;
};

}  // namespace detail
HEED_END
