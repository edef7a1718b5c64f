// SPDX-License-Identifier: MIT
// Layouts: where heed finds queries, keys and values. It copies nothing and converts nothing: a view says where a row
// lies, and the same numbers in another layout give the same bits.
//
// A tensor has four sizes, always in this order: batch, heads, tokens, dim. Its channels lie side by side, and the
// other three have a stride each.
//
//     bhsd  [batch][head][token][dim]                  bshd  [batch][token][head][dim]
//           PyTorch, ONNX                                    FlashAttention, llama2.c, vLLM
//
//     head 0   token 0   c c c c                       token 0   head 0   c c c c
//              token 1   c c c c                                 head 1   c c c c
//     head 1   token 0   c c c c                       token 1   head 0   c c c c
//              token 1   c c c c                                 head 1   c c c c
//
// `strided` takes any other order, in elements, and `strided_bytes` in bytes (ggml's tensors, padded rows of quantised
// blocks). A stride of 0 repeats, a negative one goes backwards. Strides in the wrong order are strides like others
// where rows are read; append, which writes them, refuses rows that overlap.
//
// Keys and values are a *source*. It turns a token of a sequence into a row:
//
//     dense_kv         token t in row t; `lengths` says how many of the rows are tokens
//
//                      sequence 0   [ 0 1 2 3 4 . . . ]        lengths 5, 3
//                      sequence 1   [ 0 1 2 . . . . . ]
//
//     left_padded_kv   the same with padding in front: `starts` 3, 5
//
//                      sequence 0   [ . . . 0 1 2 3 4 ]
//                      sequence 1   [ . . . . . 0 1 2 ]
//
//     packed_kv        sequences one behind the other; cu_seqlens 0, 5, 8
//
//                      [ 0 1 2 3 4 | 0 1 2 ]
//
//     paged_kv         pages of a pool, listed by a table; pages of 2 slots, tables {4, 0, 2} and {1, 3}
//
//                      page      0       1       2       3       4
//                      pool   [ 2 3 ] [ 0 1 ] [ 4 . ] [ 2 . ] [ 0 1 ]
//                               seq 0   seq 1   seq 0   seq 1   seq 0
//
//     ring_kv          token t in slot t mod capacity: the last `capacity` tokens are held; length 11, capacity 8
//
//                      [ 8 9 10 3 4 5 6 7 ]                    positions stay absolute, tokens 0 to 2 are gone
//
//     pinned_ring_kv   the same behind `pinned` tokens that stay: capacity 8, pinned 2
//
//                      [ 0 1 8 9 10 5 6 7 ]                    token t > 1 in slot 2 + (t - 2) mod 6
//
// Every source takes every element: float, double, bf16, f16, and the quantised ones (05_in_an_engine shows those).
#include "numbers.hpp"

#include <heed/heed.hpp>

#include <cmath>

int main()
{
    // One sequence of five tokens, one query for each head, K and V as [head][token][dim].
    constexpr std::int64_t heads = 2, tokens = 5, dim = 8;
    const std::vector<float> q = numbers(heads * dim, 1), k = numbers(heads * tokens * dim, 2),
                             v = numbers(heads * tokens * dim, 3);
    const heed::extents one{1, heads, 1, dim}, all{1, heads, tokens, dim};
    const auto Q = heed::bhsd(q, one), K = heed::bhsd(k, all), V = heed::bhsd(v, all);

    const auto attend = [&](const auto& kv) {
        std::vector<float> out(q.size());
        heed::or_throw(heed::attend(heed::softmax{}, Q, kv, heed::bhsd(out, one)));
        return out;
    };
    const std::vector<float> expected = attend(heed::dense_kv{K, V});
    bool good = true;

    // [token][head][dim]: other strides, the same rows.
    const auto moved = [&](const std::vector<float>& x, auto place) {
        std::vector<float> y(256, NAN);  // what is not a token is not read, so it may be anything
        for (std::int64_t h = 0; h < heads; ++h)
            for (std::int64_t t = 0; t < tokens; ++t)
                std::memcpy(&y[static_cast<std::size_t>(place(h, t))],
                            &x[static_cast<std::size_t>((h * tokens + t) * dim)], dim * sizeof(float));
        return y;
    };
    {
        const auto place = [](std::int64_t h, std::int64_t t) { return (t * heads + h) * dim; };
        const std::vector<float> k2 = moved(k, place), v2 = moved(v, place);
        good &= holds("[token][head][dim] has the bits of [head][token][dim]",
                      same_bits(expected, attend(heed::dense_kv{heed::bshd(k2, all), heed::bshd(v2, all)})));
    }
    {  // Rows of 8 channels, 12 apart: an engine's padding. The strides are those of batch, heads and tokens.
        const auto place = [](std::int64_t h, std::int64_t t) { return (h * tokens + t) * 12; };
        const std::vector<float> k2 = moved(k, place), v2 = moved(v, place);
        const heed::strides padded{0, tokens * 12, 12};
        good &=
            holds("so have padded rows", same_bits(expected, attend(heed::dense_kv{heed::strided(k2, all, padded),
                                                                                   heed::strided(v2, all, padded)})));
    }
    {  // A cache with room for 8 tokens, of which 5 are there.
        const heed::extents room{1, heads, 8, dim};
        const auto place = [](std::int64_t h, std::int64_t t) { return (h * 8 + t) * dim; };
        const std::vector<float> k2 = moved(k, place), v2 = moved(v, place);
        const std::vector<int> lengths = {5};
        good &= holds("so has a cache that is longer than its sequence",
                      same_bits(expected, attend(heed::dense_kv{heed::bhsd(k2, room), heed::bhsd(v2, room), lengths})));
    }
    {  // Pages of 2 slots, [page][slot][head][dim], as vLLM has them: tokens 0 and 1 in page 4, 2 and 3 in page 0, ...
        const std::vector<int> pages = {4, 0, 2}, lengths = {5};
        const heed::extents pool{5, heads, 2, dim};
        const auto place = [&](std::int64_t h, std::int64_t t) {
            return ((pages[static_cast<std::size_t>(t / 2)] * 2 + t % 2) * heads + h) * dim;
        };
        const std::vector<float> k2 = moved(k, place), v2 = moved(v, place);
        const auto table = heed::page_table::padded(pages, 3, lengths);
        good &= holds("so have pages",
                      same_bits(expected, attend(heed::paged_kv{heed::bshd(k2, pool), heed::bshd(v2, pool), table})));
    }
    {  // A ring of 8 slots after 5 tokens: nothing was overwritten yet.
        const heed::extents room{1, heads, 8, dim};
        const auto place = [](std::int64_t h, std::int64_t t) { return (h * 8 + t % 8) * dim; };
        const std::vector<float> k2 = moved(k, place), v2 = moved(v, place);
        const std::vector<int> lengths = {5};
        good &= holds("so has a ring",
                      same_bits(expected, attend(heed::ring_kv{heed::bhsd(k2, room), heed::bhsd(v2, room), lengths})));
    }

    // What does not fit is a status that names the argument and the sizes, before anything is written.
    std::vector<float> out(q.size(), -1);
    const heed::status wrong =
        heed::attend(heed::softmax{}, Q, K, heed::bhsd(v, {1, heads, 4, dim}), heed::bhsd(out, one));
    std::printf("a V of 4 tokens: %s\n", wrong.message());
    good &= holds("and nothing is written", out == std::vector<float>(q.size(), -1));
    return good ? 0 : 1;
}
