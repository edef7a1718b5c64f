// SPDX-License-Identifier: MIT
// heed in an engine: your cache, your memory, your threads; no allocation, no exception, no thread of heed's own.
//
//     you have                                          you call
//
//     a prompt, or a chunk of it                        attend(def, q, kv, out), def with causal{}
//     one new token of every sequence                   the same: a query row is a query row
//     prompts, chunks and decode in one step            attend(def, packed{q, cu_seqlens}, kv, out)
//     new tokens for the cache                          append(kv, cu_seqlens, k_rows, v_rows)
//     a cache in pages, a ring, left-padded, packed     another source (02_layouts), the same calls
//     a cache of int8, fp8 or ggml's blocks             the element type of its views; append quantises
//     ... and CPU time to save                          compute<std::int8_t>{} in the definition
//     a prefix that sequences share                     attend_partial over it for all of them, then over their own
//     a tree of drafts                                  attend_where(f), or a mask of your own (04_...)
//     keys that an indexer chose                        selected_keys{offsets, entries}
//     a table of -inf and numbers (ggml, ONNX)          attention_mask{table, summary}
//
// A *definition* is what is computed: normalizer, masks, score maps, error class. A *plan* is a definition for a shape;
// it says how much memory it needs, what is wrong, and runs without allocating. Shapes of decode change with every
// token, so each step has a plan of its own (0.2 us), which all layers share. attend() is a plan that is used once.
//
// One .cpp a definition. Each definition, source and element type is a template of its own: with gcc 12 -O2 about 7
// seconds and 180 KB of code for AVX2, 12 seconds and 240 KB for AVX-512. Put each into a file of its own behind a
// plain function, whose declaration is all that other files include. heed_add_kernels() compiles such a file for many
// CPUs.
//
// {.executor = pool} is C++20, which gcc and clang take in C++17, too; strictly it is
// heed::options<float> how; how.executor = pool;
#include "numbers.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>

namespace {

constexpr std::int64_t q_heads = 4, kv_heads = 2, head_dim = 32, slots = 16;

/// Two sequences in pages of bf16, [page][slot][head][dim], and what an engine keeps beside them.
struct engine {
    std::vector<heed::bf16> k = std::vector<heed::bf16>(80 * slots * kv_heads * head_dim), v = k;
    std::vector<int> pages = std::vector<int>(2 * 40), lengths = {0, 0};
    std::vector<std::byte> scratch;
    heed::thread_pool pool{2};

    engine()
    {
        for (int i = 0; i < 80; ++i) pages[static_cast<std::size_t>(i)] = (i * 37) % 80;  // in no order
    }
    auto cache()
    {
        const heed::extents size{80, kv_heads, slots, head_dim};
        return heed::paged_kv{heed::bshd(k, size), heed::bshd(v, size), heed::page_table::padded(pages, 40, lengths)};
    }

    /// A step: sequence b gets the rows [bounds[b], bounds[b + 1]), as many as it likes. Rows are [row][head][dim].
    std::vector<float> step(const std::vector<int>& bounds, const std::vector<float>& q,
                            const std::vector<float>& new_k, const std::vector<float>& new_v)
    {
        const std::int64_t rows = bounds.back();
        for (std::size_t b = 0; b < 2; ++b)
            lengths[b] += bounds[b + 1] - bounds[b];  // first: append fills what is held
        heed::or_throw(heed::append(cache(), bounds, heed::bshd(new_k, {1, kv_heads, rows, head_dim}),
                                    heed::bshd(new_v, {1, kv_heads, rows, head_dim})));

        const heed::attention def{heed::softmax{}, heed::causal{}};
        std::vector<float> out(q.size());
        const heed::packed Q{heed::bshd(q, {1, q_heads, rows, head_dim}), bounds};
        const auto O = heed::bshd(out, {1, q_heads, rows, head_dim});

        // An engine without exceptions, where there is no or_throw, looks at plan.status() and at what run() returns.
        const heed::plan plan(def, Q, cache(), {.executor = pool});
        heed::or_throw(plan.status());
        if (scratch.size() < plan.workspace_bytes()) scratch.resize(plan.workspace_bytes());  // O(threads * tile)
        heed::or_throw(plan.run(Q, cache(), O, {.executor = pool, .workspace = {scratch.data(), scratch.size()}}));
        return out;
    }
};

/// Rows [first, end) of packed rows of `width` numbers.
std::vector<float> rows(const std::vector<float>& x, std::int64_t first, std::int64_t end, std::int64_t width)
{
    return {x.begin() + first * width, x.begin() + end * width};
}

/// Squared error of x beside y, as a share of y.
double nmse(const std::vector<float>& x, const std::vector<float>& y)
{
    double off = 0, all = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
        off += std::pow(double{x[i]} - double{y[i]}, 2), all += std::pow(double{y[i]}, 2);
    return off / all;
}

/// A prompt of 600 tokens at once, or in chunks and then token by token, beside another sequence or alone: the same
/// bits.
bool steps()
{
    constexpr int tokens = 600, q_width = q_heads * head_dim, kv_width = kv_heads * head_dim;
    const std::vector<float> q = numbers(tokens * q_width, 1), k = numbers(tokens * kv_width, 2),
                             v = numbers(tokens * kv_width, 3);
    engine at_once, in_pieces;
    const std::vector<float> expected = at_once.step({0, tokens, tokens}, q, k, v);

    std::vector<float> got;
    for (int first = 0, end; first < tokens; first = end) {
        end = first < 512 ? first + 256 : first + 1;  // two chunks of the prompt, then decode
        const int others = first == 256 ? 40 : 1;     // the other sequence: a prompt of 40, else a token
        auto join = [&](const std::vector<float>& mine, std::int64_t width, std::uint32_t seed) {
            std::vector<float> all = rows(mine, first, end, width);
            const std::vector<float> theirs = numbers(others * width, seed);
            all.insert(all.end(), theirs.begin(), theirs.end());
            return all;
        };
        const int mine = end - first;
        const std::vector<float> out =
            in_pieces.step({0, mine, mine + others}, join(q, q_width, 4), join(k, kv_width, 5), join(v, kv_width, 6));
        const std::vector<float> of_mine = rows(out, 0, mine, q_width);
        got.insert(got.end(), of_mine.begin(), of_mine.end());
    }
    return holds("chunks and decode in a batch have the bits of one prefill alone", same_bits(expected, got));
}

/// The same call over other elements: what is stored is rounded by append, and read as it lies.
template <class E, class... Policies>
std::vector<float> over(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
                        std::int64_t tokens, const Policies&... more)
{
    const heed::extents size{1, kv_heads, tokens, head_dim}, one{1, q_heads, 1, head_dim};
    std::vector<E> cached_k(static_cast<std::size_t>(kv_heads * tokens * heed::elements_for<E>(head_dim))),
        cached_v = cached_k;
    const heed::dense_kv cache{heed::bhsd(cached_k, size), heed::bhsd(cached_v, size)};
    heed::or_throw(heed::append(cache, 0, 0, heed::bhsd(k, size), heed::bhsd(v, size)));
    std::vector<float> out(q.size());
    heed::or_throw(
        heed::attend(heed::attention{heed::softmax{}, more...}, heed::bhsd(q, one), cache, heed::bhsd(out, one)));
    return out;
}

bool quantised()
{
    constexpr std::int64_t tokens = 1000;
    const std::vector<float> q = numbers(q_heads * head_dim, 1), k = numbers(kv_heads * tokens * head_dim, 2),
                             v = numbers(kv_heads * tokens * head_dim, 3);
    const std::vector<float> exact = over<float>(q, k, v, tokens), q8 = over<heed::q8_0>(q, k, v, tokens),
                             q4 = over<heed::q4_0>(q, k, v, tokens),
                             products = over<heed::q8_0>(q, k, v, tokens, heed::compute<std::int8_t>{});
    bool good = holds("q8_0 costs less than 1e-3 of the output", nmse(q8, exact) < 1e-3);
    good &= holds("q4_0 less than 1e-1", nmse(q4, exact) < 1e-1);
    good &= holds("products of integers add less than 1e-6 to q8_0", nmse(products, q8) < 1e-6);
    return good;
}

/// Keys that somebody chose: the work follows the list, the bits are those of the same keys as a mask.
bool selected()
{
    constexpr std::int64_t tokens = 3000;
    const std::vector<float> q = numbers(q_heads * head_dim, 1), k = numbers(kv_heads * tokens * head_dim, 2),
                             v = numbers(kv_heads * tokens * head_dim, 3);
    const std::vector<int> offsets = {0, 5}, entries = {0, 7, 1234, 2048, 2999};  // one list, for all heads
    const std::vector<float> listed = over<float>(q, k, v, tokens, heed::selected_keys{offsets, entries});
    const std::vector<float> masked = over<float>(
        q, k, v, tokens, heed::attend_where([&](std::int64_t, std::int64_t, std::int64_t, std::int64_t key) {
            return std::find(entries.begin(), entries.end(), key) != entries.end();
        }));
    return holds("selected keys have the bits of a mask", same_bits(listed, masked));
}

/// A prefix of 512 tokens that three sequences share is attended once, by the rows of all three.
bool shared_prefix()
{
    constexpr std::int64_t prefix = 512, own = 40, sequences = 3;
    const heed::extents q_size{1, q_heads, sequences, head_dim}, prefix_size{1, kv_heads, prefix, head_dim},
        own_size{sequences, kv_heads, own, head_dim};
    const std::vector<float> q = numbers(q_heads * sequences * head_dim, 1),
                             pk = numbers(kv_heads * prefix * head_dim, 2),
                             pv = numbers(kv_heads * prefix * head_dim, 3),
                             k = numbers(sequences * kv_heads * own * head_dim, 4),
                             v = numbers(sequences * kv_heads * own * head_dim, 5);
    const auto Q = heed::bhsd(q, q_size);
    const std::vector<int> bounds = {0, 1, 2, 3};  // row b is sequence b's

    std::vector<float> shift(q_heads * sequences), mass(shift), sums(q.size()), out(q.size());
    const heed::state<float> state{shift.data(), mass.data(), sums.data(), q_size};
    const heed::softmax def;
    heed::or_throw(heed::clear(def, state));
    heed::or_throw(heed::attend_partial(
        def, Q, heed::dense_kv{heed::bhsd(pk, prefix_size), heed::bhsd(pv, prefix_size)}, state, {0, prefix + own}));
    heed::or_throw(heed::attend_partial(def, heed::packed{Q, bounds},
                                        heed::dense_kv{heed::bhsd(k, own_size), heed::bhsd(v, own_size)}, state,
                                        {prefix}));
    heed::or_throw(heed::finish(def, state, heed::bhsd(out, q_size)));

    // The last sequence on its own, its keys in one piece.
    const std::int64_t last = sequences - 1;
    std::vector<float> all_k, all_v, alone(q_heads * head_dim), of_last;
    for (std::int64_t h = 0; h < kv_heads; ++h) {
        const auto add = [&](std::vector<float>& to, const std::vector<float>& a, const std::vector<float>& b) {
            to.insert(to.end(), a.begin() + h * prefix * head_dim, a.begin() + (h + 1) * prefix * head_dim);
            const std::int64_t head = last * kv_heads + h;
            to.insert(to.end(), b.begin() + head * own * head_dim, b.begin() + (head + 1) * own * head_dim);
        };
        add(all_k, pk, k), add(all_v, pv, v);
    }
    const heed::extents whole{1, kv_heads, prefix + own, head_dim}, one{1, q_heads, 1, head_dim};
    heed::or_throw(heed::attend(def, heed::strided(Q.row(0, 0, last), one, Q.stride), heed::bhsd(all_k, whole),
                                heed::bhsd(all_v, whole), heed::bhsd(alone, one)));
    for (std::int64_t h = 0; h < q_heads; ++h) {
        const std::vector<float> row = rows(out, h * sequences + last, h * sequences + last + 1, head_dim);
        of_last.insert(of_last.end(), row.begin(), row.end());
    }
    return holds("a shared prefix, attended once, leaves the bits of each sequence", same_bits(alone, of_last));
}

}  // namespace

int main()
{
    bool good = steps();
    good &= quantised();
    good &= selected();
    good &= shared_prefix();
    return good ? 0 : 1;
}
