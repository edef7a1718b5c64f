// SPDX-License-Identifier: MIT
// What is wrong on one rank is an error on all of them, and nothing is written; a rank that is silent.
#include "prefill.hpp"

#include <chrono>
#include <thread>

namespace many_machines {
namespace {

/// A call that all ranks make, and that one of them, the last, makes wrongly.
struct call {
    step s;
    heed::key_part part;
    heed::token_span keys;
    std::size_t workspace = std::size_t{1} << 24;
    bool has_output = true;
};

/// That the call fails on all ranks, with these words on the one that makes it wrongly, and leaves the output as it
/// was.
template <class Change>
void fails(world& w, const std::string& name, const char* words, Change change)
{
    call c;
    c.keys = part_of(w, c.s.keys);
    c.part = {c.keys.first, c.s.keys, 1};
    if (w.rank() == w.size() - 1) change(c);
    const tensor<float> q = random_tensor(c.s.queries(), 1), untouched(c.s.queries(), -7.f);
    tensor<float> out = untouched;
    std::vector<char> memory(c.workspace);
    heed::mpi::options how;
    how.workspace = {memory.data(), memory.size()};
    heed::view<float> to = out.view();
    if (!c.has_output) to.data = nullptr;
    const heed::status status = heed::mpi::attend(causal_softmax(step()), q.view(),
                                                  dense_cache(c.s, c.keys.first, c.keys.end).source(), to, c.part, how);
    // another may have seen it first, from where it stands
    const bool says_so = w.rank() != w.size() - 1 || std::strstr(status.message(), words);
    w.line(name, !status && says_so && same_bits(out.data, untouched.data), status.message());
}

/// The same of a prefill whose last rank says that its early part begins elsewhere.
void prefill_fails(world& w, const std::string& name, const char* words, int64 moved)
{
    const prompt s(w);
    const parts mine(w, s.keys);
    const int64 off = w.rank() == w.size() - 1 ? moved : 0;
    const tensor<float> q = random_tensor(s.queries(), 1), untouched(s.queries(), -7.f);
    tensor<float> out = untouched;
    const dense_cache early(s, mine.early.first, mine.early.end), late(s, mine.late.first, mine.late.end);
    const auto shard = [&](const heed::token_span& part, const dense_cache& cache, int64 first) {
        return heed::mpi::shard{tokens(q.view(), part.first, part.end), cache.source(),
                                tokens(out.view(), part.first, part.end), first};
    };
    const decltype(shard(mine.early, early, 0)) both[] = {shard(mine.early, early, mine.early.first + off),
                                                          shard(mine.late, late, mine.late.first)};
    const heed::status status = heed::mpi::attend_sharded(causal_softmax_at, both);
    const bool well = !status && std::strstr(status.message(), words) && same_bits(out.data, untouched.data);
    w.line(name, well, status.message());
}

/// The last rank has a ring that has lost tokens, and nobody sees any keys.
void lost_tokens_fail(world& w, const std::string& name)
{
    const step s;
    tensor<float> k(s.cache(heed::key_tile)), v(k.size);
    const auto ring = [&](const std::vector<int64>& lengths) {
        return heed::mpi::span<heed::ring_kv<float, float>>{{k.view(), v.view(), lengths}, w.rank() * heed::key_tile};
    };
    const std::vector<int64> full(2, heed::key_tile), more(2, heed::key_tile + 88), none(2, 0);
    const decltype(ring(full)) spans[] = {ring(w.rank() == w.size() - 1 ? more : full), ring(none)};
    bool seen = false;
    const heed::status status = heed::mpi::travel(
        spans, [](int64, int64) { return true; },
        [&](const auto&, const heed::key_part&) {
            seen = true;
            return heed::status();
        });
    w.line(name, !status && !seen && std::strstr(status.message(), "all of it travel"), status.message());
}

}  // namespace
}  // namespace many_machines

void many_machines::check_errors(world& w)
{
    w.heading("mistakes of the last rank", "what the first one says");
    fails(w, "no output", "out.data is null", [](call& c) { c.has_output = false; });
    fails(w, "too little memory", "workspace of 100 bytes, needs", [](call& c) { c.workspace = 100; });
    fails(w, "keys that begin within a tile", "spans begin at multiples of 512", [](call& c) { ++c.part.first_key; });
    fails(w, "a sequence shorter than its keys", "keys from key", [](call& c) { c.part.total_keys = 10; });
    prefill_fails(w, "a part within a tile", "not at a multiple of 512", 100);
    lost_tokens_fail(w, "keys that a ring has lost travel");
    if (w.size() == 1) return;
    fails(w, "other heads", "q.heads is", [](call& c) { c.s.heads *= 2; });
    fails(w, "fewer sequences", "q.batch is", [](call& c) { c.s.batch = 1; });
    fails(w, "another length", "part.total_keys is", [](call& c) { ++c.part.total_keys; });
    fails(w, "keys that another rank has", "spans follow each other",
          [](call& c) { c.part.first_key -= heed::key_tile; });
    prefill_fails(w, "a part that another rank has", "where those before it end", -heed::key_tile);
}

void many_machines::wait_for(const world& w, int64 silent, double seconds)
{
    while (w.rank() == silent) std::this_thread::sleep_for(std::chrono::seconds(1));
    const step s;
    const tensor<float> q = random_tensor(s.queries(), 1);
    tensor<float> out(s.queries());
    const heed::token_span mine = part_of(w, s.keys);
    heed::mpi::options how;
    how.timeout_seconds = seconds;
    heed::or_throw(heed::mpi::attend(causal_softmax(s), q.view(), dense_cache(s, mine.first, mine.end).source(),
                                     out.view(), {mine.first, s.keys, 1}, how));
}
