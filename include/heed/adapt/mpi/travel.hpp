// SPDX-License-Identifier: MIT
// Keys and values that travel from rank to rank, some key tiles at a time: each rank sees all that it needs in the
// order of their positions, the next ones under way while it attends to these.
#pragma once

#include "message.hpp"
#include "ranks.hpp"

HEED_BEGIN
namespace mpi {

/// The keys that a rank has.
template <class Kv>
struct span {
    Kv kv;                       ///< a source of any kind
    std::int64_t first_key = 0;  ///< position of the source's first key in the sequence
};
template <class Kv>
span(Kv, std::int64_t) -> span<Kv>;

/// The keys of the i-th of n parts of a sequence, cut at multiples of heed::key_tile. To decode, rank r of P has part r
/// of P. For a causal prefill it has parts r and 2P - 1 - r of 2P, an early and a late one: then all have equal work.
inline token_span part_of(std::int64_t tokens, std::int64_t i, std::int64_t n)
{
    const std::int64_t tiles = (tokens + key_tile - 1) / key_tile;
    const auto cut = [&](std::int64_t at) {
        const std::int64_t tile = tiles / n * at + tiles % n * at / n;
        return tile * key_tile < tokens ? tile * key_tile : tokens;
    };
    return {cut(i), cut(i + 1)};
}

}  // namespace mpi

namespace detail {

/// The spans of all ranks, and what they make of the keys in order.
template <class Kv>
class travelling_keys {
public:
    static constexpr std::int64_t piece = 2 * key_tile;  // tokens of a message, at most
    static constexpr int slots = 3;                      // messages that a rank has room for beside its own

    travelling_keys(const mpi_ranks& ranks, const mpi::span<Kv> (&mine)[2]) : ranks_(ranks), mine_(mine) {}

    /// What is wrong with the spans of this rank.
    status check() const
    {
        for (const mpi::span<Kv>& s : mine_) {
            if (const status ok = check_span(s); !ok) return ok;
        }
        const Kv &a = mine_[0].kv, &b = mine_[1].kv;
        if (a.batch() != b.batch() || a.heads() != b.heads() || a.key_dim() != b.key_dim() ||
            a.value_dim() != b.value_dim())
            return status::error(errc::invalid_argument,
                                 "%s: the two spans of rank %d have %lld and %lld sequences, %lld and %lld heads, keys "
                                 "of %lld and %lld channels, or values of %lld and %lld",
                                 ranks_.verb(), ranks_.rank(), ll{a.batch()}, ll{b.batch()}, ll{a.heads()},
                                 ll{b.heads()}, ll{a.key_dim()}, ll{b.key_dim()}, ll{a.value_dim()}, ll{b.value_dim()});
        if (message_of(piece, nullptr).bytes().fits() && message_of(piece, nullptr).bytes().value() <= INT_MAX)
            return {};
        return status::error(errc::invalid_argument,
                             "%s: %lld keys of %lld sequences of %lld heads: MPI counts to 2^31", ranks_.verb(),
                             ll{piece}, ll{a.batch()}, ll{a.heads()});
    }

    /// That keys are of one shape on all ranks.
    status agree(const status& own) const
    {
        const Kv& kv = mine_[0].kv;
        return ranks_.agree(own, {{"kv.batch", kv.batch()},
                                  {"kv.heads", kv.heads()},
                                  {"k.dim", kv.key_dim()},
                                  {"v.dim", kv.value_dim()},
                                  {"bytes of a message", own ? message_bytes() : 0}});
    }
    /// Of two key tiles of all heads, as they are stored.
    std::int64_t message_bytes() const { return message_of(piece, nullptr).bytes().value(); }

    /// Of the memory, that check() has found sound: the tables of all ranks, requests, the own pieces, and others'.
    checked bytes() const
    {
        const checked of_piece = message_of(piece, nullptr).bytes();
        return checked(ranks_.size()) * sizeof(row_of_rank) +
               checked(own_pieces()) * ranks_.size() * sizeof(MPI_Request) +
               of_piece * (checked(own_pieces()) + slots) + 4 * 64;
    }
    void take(void* memory)
    {
        kernel::carver c(kernel::first_line(memory));
        table_ = c.take<row_of_rank>(ranks_.size());
        sends_ = c.take<MPI_Request>(own_pieces(), ranks_.size());
        piece_bytes_ = message_of(piece, nullptr).bytes().value();
        own_ = c.take<char>(own_pieces(), piece_bytes_);
        others_ = c.take<char>(slots, piece_bytes_);
    }

    /// Tells all ranks who has which keys. Every rank comes to the same conclusion.
    status share()
    {
        row_of_rank& r = table_[ranks_.rank()];
        for (int i = 0; i < 2; ++i) r.spans[i] = {mine_[i].first_key, mine_[i].first_key + mine_[i].kv.tokens()};
        gather();
        std::int64_t all = 0;
        for (int rank = 0; rank < ranks_.size(); ++rank)
            for (const token_span& s : table_[rank].spans) {
                all += s.end - s.first;
                if (s.end > s.first && s.first % key_tile != 0)
                    return status::error(errc::invalid_argument,
                                         "%s: a span of rank %d begins at key %lld, not at a multiple of %d",
                                         ranks_.verb(), rank, ll{s.first}, key_tile);
            }
        for (total_ = 0; total_ < all;) {
            const place at = place_of(total_);
            if (at.rank < 0)
                return status::error(errc::invalid_argument,
                                     "%s: no span begins at key %lld, where those before it end; ranks have %lld keys",
                                     ranks_.verb(), ll{total_}, ll{all});
            total_ = at.span.end;
        }
        if (total_ == all) return {};
        return status::error(errc::invalid_argument, "%s: ranks have %lld keys of the first %lld: some twice",
                             ranks_.verb(), ll{all}, ll{total_});
    }
    std::int64_t total() const { return total_; }

    /// Calls visit(keys, first) for the pieces of which needs(first, end) says that this rank needs them, in their
    /// order or the reverse one; every rank calls it. The first error of a visit is returned, and none is made after
    /// it.
    template <class Needs, class Visit>
    status run(bool newest_first, Needs needs, Visit visit)
    {
        row_of_rank& r = table_[ranks_.rank()];
        r.needed = {total_, 0};
        for (std::int64_t at = 0, end; at < total_; at = end) {
            end = end_of_piece(at);
            if (!needs(at, end)) continue;
            if (at < r.needed.first) r.needed.first = at;
            r.needed.end = end;
        }
        gather();
        newest_first_ = newest_first;
        send_own();
        status result;
        cursor ahead{this, newest_first ? total_ : 0}, at = ahead;
        MPI_Request arrivals[slots];
        std::int64_t posted = 0, taken = 0;
        const auto post = [&] {  // as many as there is room for
            for (; posted - taken < slots && ahead.next();) {
                if (ahead.is_own()) continue;
                ranks_.receive(others_ + posted % slots * piece_bytes_,
                               message_of(ahead.tokens(), nullptr).bytes().value(), ahead.rank,
                               arrivals[posted % slots]);
                ++posted;
            }
        };
        for (post(); at.next();) {
            char* from = own_ + at.own * piece_bytes_;
            if (!at.is_own()) {
                from = others_ + taken % slots * piece_bytes_;
                ranks_.wait(arrivals[taken % slots], "keys of", at.rank);
            }
            if (result) result = visit(message_of(at.tokens(), from).source(), at.first);
            ranks_.progress(sends_, static_cast<int>(sent_));
            if (at.is_own()) continue;
            ++taken;
            post();
        }
        ranks_.wait(sends_, static_cast<int>(sent_), "its keys to be taken by", -1);
        return result;
    }
    /// The end of the piece that begins at a key: pieces are cut at multiples of their length, and where spans end.
    std::int64_t end_of_piece(std::int64_t first) const
    {
        const place at = place_of(first, true);
        return min_of(at.span.end, (first / piece + 1) * piece);
    }

private:
    using ll = long long;
    struct row_of_rank {
        token_span spans[2];
        token_span needed;
    };
    struct place {
        int rank = -1, index = 0;
        token_span span = {};
    };
    /// The pieces that this rank needs, one after the other.
    struct cursor {
        const travelling_keys* of;
        std::int64_t at;  // the end of the last one, or its beginning where the newest is first
        int rank = 0;
        std::int64_t own = 0, first = 0, end = 0;

        std::int64_t tokens() const { return end - first; }
        bool is_own() const { return rank == of->ranks_.rank(); }
        bool next()
        {
            const token_span& needed = of->table_[of->ranks_.rank()].needed;
            do {
                if (of->newest_first_ ? at <= 0 : at >= of->total_) return false;
                first = of->newest_first_ ? of->start_of_piece(at) : at;
                end = of->end_of_piece(first);
                at = of->newest_first_ ? first : end;
            } while (first < needed.first || first >= needed.end);
            const place p = of->place_of(first, true);
            rank = p.rank;
            if (is_own()) own = of->number_of(p, first);
            return true;
        }
    };

    static status check_span_of(const mpi_ranks& ranks, const Kv& kv, std::int64_t b)
    {
        const token_span held = kv.held(b);
        if (held.first == 0 && held.end == kv.tokens()) return {};
        return status::error(errc::invalid_argument,
                             "%s: sequence %lld of rank %d has tokens [%lld, %lld) of a span of %lld: all of it travel",
                             ranks.verb(), ll{b}, ranks.rank(), ll{held.first}, ll{held.end}, ll{kv.tokens()});
    }
    status check_span(const mpi::span<Kv>& s) const
    {
        status ok;
        s.kv.views([&](const char* name, const auto& rows) {
            if (ok) ok = check_sizes(ranks_.verb(), name, rows);
            if (ok) ok = check_memory(ranks_.verb(), name, rows);
        });
        if (ok) ok = first_error([&] { return s.kv.check(); }, [&] { return s.kv.check_rows(); });
        for (std::int64_t b = 0; ok && b < s.kv.batch(); ++b) ok = check_span_of(ranks_, s.kv, b);
        if (ok && (s.first_key < 0 || !within_limit(s.first_key)))
            ok = status::error(errc::invalid_argument, "%s: a span of rank %d begins at key %lld", ranks_.verb(),
                               ranks_.rank(), ll{s.first_key});
        return ok;
    }
    message<Kv> message_of(std::int64_t tokens, void* memory) const { return {mine_[0].kv, tokens, memory}; }

    /// The pieces of the first spans of this rank, at most.
    std::int64_t pieces_of(int spans) const
    {
        std::int64_t n = 0;
        for (int i = 0; i < spans; ++i) n += mine_[i].kv.tokens() / piece + 2;
        return n;
    }
    std::int64_t own_pieces() const { return pieces_of(2); }
    /// Which of the own pieces one is.
    std::int64_t number_of(const place& p, std::int64_t first) const
    {
        return pieces_of(p.index) + first / piece - p.span.first / piece;
    }
    std::int64_t start_of_piece(std::int64_t end) const
    {
        const place at = place_of(end - 1, true);
        return max_of(at.span.first, (end - 1) / piece * piece);
    }

    /// The span that begins at a key, or holds it.
    place place_of(std::int64_t key, bool holds = false) const
    {
        for (int rank = 0; rank < ranks_.size(); ++rank)
            for (int i = 0; i < 2; ++i) {
                const token_span& s = table_[rank].spans[i];
                if (holds ? s.first <= key && key < s.end : s.first == key && s.end > key) return {rank, i, s};
            }
        return {};
    }
    void gather()
    {
        MPI_Request request;
        ranks_.must(
            MPI_Iallgather(MPI_IN_PLACE, 0, MPI_BYTE, table_, sizeof(row_of_rank), MPI_BYTE, ranks_.comm(), &request));
        ranks_.wait(request, "the spans of");
    }

    /// Every own piece to every rank that needs it, in the order in which they take them.
    void send_own()
    {
        sent_ = 0;
        std::int64_t at = newest_first_ ? total_ : 0;
        while (newest_first_ ? at > 0 : at < total_) {
            const std::int64_t first = newest_first_ ? start_of_piece(at) : at, end = end_of_piece(first);
            at = newest_first_ ? first : end;
            const place p = place_of(first, true);
            if (p.rank != ranks_.rank()) continue;
            const message<Kv> keys = message_of(end - first, own_ + number_of(p, first) * piece_bytes_);
            keys.fill(mine_[p.index].kv, first - p.span.first);
            for (int rank = 0; rank < ranks_.size(); ++rank) {
                const token_span& needed = table_[rank].needed;
                if (rank == ranks_.rank() || first < needed.first || first >= needed.end) continue;
                ranks_.send(keys.data(), keys.bytes().value(), rank, sends_[sent_++]);
            }
        }
    }

    const mpi_ranks& ranks_;
    const mpi::span<Kv> (&mine_)[2];
    row_of_rank* table_ = nullptr;
    MPI_Request* sends_ = nullptr;
    char *own_ = nullptr, *others_ = nullptr;
    std::int64_t piece_bytes_ = 0, total_ = 0, sent_ = 0;
    bool newest_first_ = false;
};

}  // namespace detail
HEED_END
