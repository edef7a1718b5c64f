// SPDX-License-Identifier: MIT
// A prefill on all ranks beside the same in one process.
#pragma once

#include "stored.hpp"

namespace many_machines {

/// A prompt: as many queries as keys.
struct prompt : step {
    explicit prompt(int64 length)
    {
        batch = 1;
        keys = tokens = length;
    }
    explicit prompt(const world& w) : prompt(w.size() * 1024) {}  // two key tiles for each rank
};

/// The two parts of a rank, an early and a late one.
struct parts {
    heed::token_span early, late;

    parts(const world& w, int64 keys)
        : early(heed::mpi::part_of(keys, w.rank(), 2 * w.size())),
          late(heed::mpi::part_of(keys, 2 * w.size() - 1 - w.rank(), 2 * w.size()))
    {}
    /// Whether two outputs of one sequence have the same rows there.
    bool are_same(const tensor<float>& a, const tensor<float>& b) const
    {
        bool same = true;
        for (const heed::token_span& part : {early, late})
            for (int64 h = 0; h < a.size.heads; ++h)
                same = same &&
                       std::memcmp(a.view().row(0, h, part.first), b.view().row(0, h, part.first),
                                   static_cast<std::size_t>((part.end - part.first) * a.size.dim) * sizeof(float)) == 0;
        return same;
    }
};

inline constexpr auto causal_softmax_at = [](int, heed::query_offset at) {
    return heed::attention{heed::softmax{}, heed::causal{}, at};
};
/// The definition of a step as that of a prefill that ends there: both have the same kernels.
inline auto causal_softmax(const step& s) { return causal_softmax_at(0, heed::query_offset{s.keys - s.tokens}); }

inline auto dense_of_prompt(const prompt& s)
{
    return [&s](int64 first, int64 end) { return dense_cache(s, first, end); };
}

/// Prefill of a prompt whose definition is made by definitions(part, query_offset), with keys and values in caches that
/// make(first, end) returns. A token of keys and values has that many bytes, or 0: they are not counted.
template <class Definitions, class Make>
void prefill(world& w, const std::string& name, const prompt& s, const Definitions& definitions, Make make,
             int64 token_bytes)
{
    const tensor<float> q = random_tensor(s.queries(), 1, 2);
    tensor<float> one(s.queries()), out(s.queries(), -7.f);
    auto whole = make(int64{0}, s.keys);
    heed::or_throw(heed::attend(definitions(0, heed::query_offset{0}), q.view(), whole.source(), one.view()));

    const parts mine(w, s.keys);
    auto early = make(mine.early.first, mine.early.end), late = make(mine.late.first, mine.late.end);
    const auto shard = [&](const heed::token_span& part, auto& cache) {
        return heed::mpi::shard{tokens(q.view(), part.first, part.end), cache.source(),
                                tokens(out.view(), part.first, part.end), part.first};
    };
    const decltype(shard(mine.early, early)) both[] = {shard(mine.early, early), shard(mine.late, late)};
    heed::mpi::options how;
    std::vector<char> memory(heed::mpi::workspace_bytes(definitions, both, how));
    how.workspace = {memory.data(), memory.size()};
    const sent_bytes all(w);
    heed::or_throw(heed::mpi::attend_sharded(definitions, both, how));
    const int64 sent = all.sent();
    // of 2 P parts, rank r receives those before its late one but its early one: 2 P - 2 - r
    const int64 formula = 3 * (w.size() - 1) * s.keys / 4 * token_bytes;
    w.line(name, mine.are_same(out, one), -1, sent, token_bytes > 0 ? formula : sent);
}

}  // namespace many_machines
