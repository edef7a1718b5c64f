// SPDX-License-Identifier: MIT
// Prefill where queries are shared out as the keys are: each rank has two parts of the sequence, and keys travel.
#pragma once

#include "tokens_of.hpp"
#include "travel.hpp"

HEED_BEGIN
namespace mpi {

/// A part of a sequence: queries, their keys and values, and where their outputs go.
template <class Q, class Kv, class O>
struct shard {
    view<Q> q;               ///< [B, Hq, tokens, Dqk]
    Kv kv;                   ///< of the same tokens
    view<O> out;             ///< [B, Hq, tokens, Dv]
    std::int64_t first = 0;  ///< position of the first query, and of the first key
};
template <class Q, class Kv, class O>
shard(view<Q>, Kv, view<O>, std::int64_t) -> shard<Q, Kv, O>;

}  // namespace mpi

namespace detail {

/// A call over two parts of a sequence. Definitions has operator()(part, query_offset), the definition of a part.
template <class Definitions, class Q, class Kv, class O>
class mpi_prefill {
    using T = compute_t<Q>;
    using definition = definition_t<std::decay_t<decltype(std::declval<const Definitions&>()(0, query_offset{0}))>>;
    using source = decltype(std::declval<const message<Kv>&>().source());
    using keys_type = tokens_of<source>;  // whose kernels are those of other calls over ranks
    using shards = mpi::shard<Q, Kv, O>[2];
    static constexpr bool has_order = has_order_v<typename definition::normalizer_type>;

public:
    mpi_prefill(const mpi_ranks& ranks, const Definitions& of, const shards& mine, const mpi::options& how)
        : ranks_(ranks), of_(of), mine_(mine),
          how_(how), spans_{{mine[0].kv, mine[0].first}, {mine[1].kv, mine[1].first}}, travelling_(ranks, spans_)
    {}

    status check() const
    {
        status s = travelling_.check();
        for (int i = 0; s && i < 2; ++i) s = check_part(i);
        return s;
    }
    checked bytes() const { return travelling_.bytes() + states_bytes() + scratch() + 2 * 64; }
    void take(void* memory)
    {
        memory_ = kernel::first_line(memory);
        scratch_bytes_ = scratch();
        travelling_.take(memory_ + states_bytes().value() + scratch_bytes_);
    }
    status agree(const status& own) const
    {
        const Kv& kv = mine_[0].kv;
        return ranks_.agree(own, {{"q.batch", mine_[0].q.size.batch},
                                  {"q.heads", mine_[0].q.size.heads},
                                  {"q.dim", mine_[0].q.size.dim},
                                  {"v.dim", kv.value_dim()},
                                  {"kv.heads", kv.heads()},
                                  {"bytes of a number", std::int64_t{sizeof(T)}},
                                  {"bytes of a message", own ? travelling_.message_bytes() : 0}});
    }
    /// Folds the keys of all ranks into the states of these queries.
    status attend()
    {
        if (const status s = travelling_.share(); !s) return s;
        status own;
        for (int i = 0; i < 2; ++i)
            own = first_error([&] { return own; }, [&] { return check_definition(i); },
                              [&] { return clear(definition_of(i), state_of(i)); });
        const auto needs = [&](std::int64_t first, std::int64_t end) {
            return own && (attends(0, first, end) || attends(1, first, end));
        };
        const status visited = travelling_.run(has_order, needs, [&](const source& some, std::int64_t first) {
            const keys_type keys{some, 0, some.tokens()};
            status ok;
            for (int i = 0; ok && i < 2; ++i)
                if (attends(i, first, first + keys.tokens())) ok = attend_part(i, keys, first);
            return ok;
        });
        return ranks_.agree(own ? visited : own, nothing);
    }
    status finish_all() const
    {
        status s;
        for (int i = 0; s && i < 2; ++i) s = finish(definition_of(i), state_of(i), mine_[i].out);
        return s;
    }

private:
    static constexpr agreed_size nothing[1] = {{"", 0}};

    definition definition_of(int i) const { return of_(i, query_offset{mine_[i].first}); }
    extents size_of(int i) const
    {
        extents e = mine_[i].q.size;
        e.dim = mine_[i].kv.value_dim();
        return e;
    }
    status check_part(int i) const
    {
        const char* const verb = ranks_.verb();
        const auto& m = mine_[i];
        return first_error([&] { return check_inputs(verb, packed<Q>(m.q), m.kv); },
                           [&] { return check_memory(verb, "q", m.q); },
                           [&] { return check_written_tensor(verb, "out", m.out, size_of(i)); });
    }
    /// What its policies say of their parameters, now that all keys are counted.
    status check_definition(int i) const
    {
        const extents& q = mine_[i].q.size;
        return definition_of(i).check({q.batch, q.heads, mine_[i].kv.heads(), q.tokens, travelling_.total()});
    }
    static std::int64_t rows(const extents& e) { return e.batch * e.heads * e.tokens; }
    checked states_bytes() const
    {
        checked n = 0;
        for (int i = 0; i < 2; ++i)
            n = n + checked(rows(size_of(i))) * (size_of(i).dim + 2) * static_cast<std::int64_t>(sizeof(T)) + 64;
        return n / 64 * 64;
    }
    state<T> state_of(int i) const
    {
        char* const first =
            i == 0 ? memory_ : reinterpret_cast<char*>(state_of(0).out + rows(size_of(0)) * size_of(0).dim);
        T* const shift = reinterpret_cast<T*>(first);
        return {shift, shift + rows(size_of(i)), shift + 2 * rows(size_of(i)), size_of(i)};
    }
    options<T> with() const
    {
        options<T> o;
        o.executor = how_.executor;
        return o;
    }
    /// Bytes that attending to a piece needs.
    std::int64_t scratch() const
    {
        std::size_t most = 0;
        for (int i = 0; i < 2; ++i)
            for (const std::int64_t tokens : {travelling_keys<Kv>::piece, std::int64_t{key_tile}}) {
                const plan<definition, T> p(definition_of(i), mine_[i].q,
                                            keys_type{message<Kv>(mine_[i].kv, tokens, nullptr).source(), 0, tokens},
                                            with());
                most = p.workspace_bytes() > most ? p.workspace_bytes() : most;
            }
        return static_cast<std::int64_t>((most + 63) / 64 * 64);
    }
    /// Whether any query of a part attends any of these keys, as far as its masks can say.
    bool attends(int i, std::int64_t first, std::int64_t end) const
    {
        const extents& q = mine_[i].q.size;
        if (is_empty(q)) return false;
        if constexpr (definition::has_mask) {
            const definition def = definition_of(i);
            for (std::int64_t b = 0; b < q.batch; ++b)
                if (def.classify({b, 0, q.heads, 0, q.tokens, mine_[i].first, first, end}) != coverage::none)
                    return true;
            return false;
        }
        return true;
    }
    status attend_part(int i, const keys_type& keys, std::int64_t first) const
    {
        options<T> how = with();
        how.workspace = {memory_ + states_bytes().value(), static_cast<std::size_t>(scratch_bytes_)};
        const plan<definition, T> p(definition_of(i), mine_[i].q, keys, how);
        return p.run_partial(mine_[i].q, keys, state_of(i), {first, travelling_.total(), 1}, how);
    }

    const mpi_ranks& ranks_;
    const Definitions& of_;
    const shards& mine_;
    const mpi::options& how_;
    mpi::span<Kv> spans_[2];
    travelling_keys<Kv> travelling_;
    char* memory_ = nullptr;
    std::int64_t scratch_bytes_ = 0;
};

}  // namespace detail
HEED_END
