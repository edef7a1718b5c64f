// SPDX-License-Identifier: MIT
// Thresholds by lists: entmax15 and top-k.
#include "lists.hpp"

namespace many_machines {
namespace {

/// Keys travel once for the lists, and once for the outputs.
void prefill_by_lists(world& w, const std::string& name)
{
    const prompt s(w);
    const tensor<float> q = random_tensor(s.queries(), 1, 8);
    const dense_cache whole(s, 0, s.keys);
    tensor<float> one(s.queries()), out(s.queries(), -7.f);
    heed::or_throw(heed::attend(heed::attention{heed::entmax15{}, heed::causal{}, heed::query_offset{0}}, q.view(),
                                whole.source(), one.view()));

    const parts mine(w, s.keys);
    const heed::token_span part[] = {mine.early, mine.late};
    const dense_cache cache[] = {{s, part[0].first, part[0].end}, {s, part[1].first, part[1].end}};
    const auto queries = [&](int i) { return tokens(q.view(), part[i].first, part[i].end); };
    candidate_lists lists[] = {{queries(0).size, 512}, {queries(1).size, 512}};
    thresholds_of_rows taus[2];
    const heed::mpi::span<heed::dense_kv<const float, const float>> spans[] = {{cache[0].source(), part[0].first},
                                                                               {cache[1].source(), part[1].first}};
    heed::or_throw(heed::mpi::travel(
        spans, [&](int64 first, int64) { return first < part[1].end; },
        [&](const auto& keys, const heed::key_part& at) {
            heed::status ok;
            for (int i = 0; ok && i < 2; ++i)
                ok = heed::threshold_partial(
                    heed::attention{heed::entmax15{}, heed::causal{}, heed::query_offset{part[i].first}}, queries(i),
                    keys, lists[i].state(), at);
            return ok;
        }));
    for (int i = 0; i < 2; ++i) {
        taus[i].resize(static_cast<std::size_t>(s.heads * (part[i].end - part[i].first)));
        heed::or_throw(heed::threshold(heed::entmax15{}, lists[i].state(), taus[i]));
    }
    const auto shard = [&](int i) {
        return heed::mpi::shard{queries(i), cache[i].source(), tokens(out.view(), part[i].first, part[i].end),
                                part[i].first};
    };
    const decltype(shard(0)) both[] = {shard(0), shard(1)};
    heed::or_throw(heed::mpi::attend_sharded(
        [&](int i, heed::query_offset at) {
            return heed::attention{heed::entmax15{}, heed::causal{}, heed::known_thresholds{taus[i]}, at};
        },
        both));
    w.line(name, mine.are_same(out, one), "same bits");
}

}  // namespace
}  // namespace many_machines

void many_machines::check_thresholds(world& w)
{
    w.heading("thresholds", "in order        as a tree, off by    bytes between ranks");
    decode_by_lists(w, "entmax15", heed::entmax15{});
    decode_by_lists(w, "top_k 40", heed::top_k{40});
    prefill_by_lists(w, "entmax15, prefill");
}
