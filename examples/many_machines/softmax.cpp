// SPDX-License-Identifier: MIT
// Softmax, whose kernels some checks share: decode, prefill, queries of one rank.
#include "prefill.hpp"

#include <heed/executor/threads.hpp>

namespace many_machines {
namespace {

/// The last rank has the queries, in another layout, and each rank two threads.
void decode_queries_of_one_rank(world& w, const std::string& name)
{
    const step s;
    tensor<float> q = random_tensor({s.batch, s.tokens, s.heads, s.dim}, 1, 2), one(s.queries()), out(s.queries());
    const heed::view<float> by_token = heed::bshd(q.data, s.queries());
    heed::or_throw(heed::attend(causal_softmax(s), by_token, dense_cache(s, 0, s.keys).source(), one.view()));
    const int last = w.size() - 1;
    if (w.rank() != last) std::fill(q.data.begin(), q.data.end(), 0.f);
    const heed::token_span mine = part_of(w, s.keys);
    heed::thread_pool pool(2);
    heed::mpi::options how;
    how.queries_from = last;
    how.executor = pool;
    heed::or_throw(heed::mpi::attend(causal_softmax(s), by_token, dense_cache(s, mine.first, mine.end).source(),
                                     out.view(), {mine.first, s.keys, 1}, how));
    w.line(name, same_bits(out.data, one.data), "same bits");
}

}  // namespace
}  // namespace many_machines

void many_machines::check_softmax(world& w)
{
    w.heading("decode", "in order        as a tree, off by    bytes between ranks");
    decode(w, "softmax", causal_softmax(step()));
    step token;  // of a model with 32 heads of 128 channels
    token.batch = token.tokens = 1;
    token.heads = 32, token.kv_heads = 8, token.dim = 128, token.keys = 2048;
    decode(w, "softmax, 32 heads of 128", causal_softmax(token), token);
    decode_queries_of_one_rank(w, "queries of one rank, 2 threads");

    w.heading("prefill", "in order        bytes between ranks");
    const prompt even(w), odd(w.size() * 1024 - 201);
    const int64 token_bytes = even.kv_heads * even.dim * 2 * int64{sizeof(float)};
    prefill(w, "softmax", even, causal_softmax_at, dense_of_prompt(even), token_bytes);
    prefill(w, "softmax, another length", odd, causal_softmax_at, dense_of_prompt(odd), 0);
}
