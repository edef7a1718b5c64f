// SPDX-License-Identifier: MIT
// What else can be yours: score maps, masks and kv sources. Each is a struct with one function; every verb, kernel and
// machine follows from it.
//
//     scores     s = maps(scale * (q . k))       a score map has   V map(V s, const heed::score_place<V>& at) const
//     masks      which keys a row attends        a mask has        bool attends(const heed::query_place& at, key) const
//     sources    where keys and values lie       a source has      keys(batch, head)(token): the rows that start there
//
// The vector rule. A score map is called with scalars and with registers of neighbouring keys, by the same code: V is
// either. So no `if`, no `?:`, no std::exp of a V; heed::select, min, max, abs, exp, expm1, log, log1p, tanh, sqrt,
// logistic and softplus take both. What depends on the key alone comes from `at`: distances(), keys(), load(table) and
// gather(f). What depends on the row (at.head, at.position) is a plain number, and plain code may look at it.
//
// The traps, all of which heed::check() finds:
//
//     a map that keeps state, or answers otherwise for vectors than for single keys: prefill and decode would differ;
//     `at.row` where `at.position` is meant: rows count within a call, so chunks of a prompt would differ;
//     classify() that says "full" or "none" of a tile where attends() does not: keys are left out, or let in.
#include "numbers.hpp"

#include <heed/heed.hpp>
#include <heed/testing.hpp>

/// Scores fall with the distance, but no further than 64 keys, and not at all in the first head.
struct slope_that_ends {
    float slope;

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        if (at.head == 0) return s;  // of the row: plain code
        return s - slope * heed::min(heed::abs(at.distances()), 64.f);
    }
};

/// The newest `near` keys, and each `stride`-th one before them.
struct strided_window {
    std::int64_t near, stride;

    bool attends(const heed::query_place& at, std::int64_t key) const
    {
        return key <= at.position && (key > at.position - near || key % stride == 0);
    }
    // Enough: the mask is asked key by key. With classify() whole tiles are skipped, or computed without a question.
    heed::coverage classify(const heed::block_place& b) const
    {
        if (b.key_begin > b.last_row().position) return heed::coverage::none;  // behind all rows of the block
        const bool all_near = b.key_begin > b.last_row().position - near && b.key_end - 1 <= b.first_row().position;
        return all_near ? heed::coverage::full : heed::coverage::partial;
    }
};

/// Keys and values of a token side by side in one row, as engines that fuse their projections have them.
struct fused_kv {
    using key_element = float;
    using value_element = float;
    static constexpr bool contiguous = true;  // all tokens of a head are one run of rows

    const float* data;
    std::int64_t tokens_held, heads_held, dim;

    std::int64_t batch() const { return 1; }
    std::int64_t heads() const { return heads_held; }
    std::int64_t key_dim() const { return dim; }
    std::int64_t value_dim() const { return dim; }
    heed::token_span held(std::int64_t) const { return {0, tokens_held}; }
    std::int64_t tokens() const { return tokens_held; }
    bool ragged() const { return false; }
    auto keys(std::int64_t, std::int64_t head) const { return rows(head * 2 * dim); }
    auto values(std::int64_t, std::int64_t head) const { return rows(head * 2 * dim + dim); }
    heed::status check() const { return {}; }
    heed::status check_rows() const { return {}; }
    template <class F>
    void views(F) const
    {}

private:
    /// From a token on: where its row is, how far apart rows are, and how many follow.
    struct head_rows {
        const float* first;
        std::int64_t stride, tokens;
        heed::rows<const float> operator()(std::int64_t token) const
        {
            return {first + token * stride, stride, tokens - token};
        }
    };
    head_rows rows(std::int64_t channel) const { return {data + channel, heads_held * 2 * dim, tokens_held}; }
};

int main()
{
    bool good = true;
    const auto verdict = [&](const char* what, const heed::status& s) {
        std::printf("heed::check of %s: %s\n", what, s.message());
        return static_cast<bool>(s);
    };
    good &= verdict("the score map", heed::check(slope_that_ends{0.1f}));
    good &= verdict("the mask", heed::check(strided_window{16, 8}));

    // A mask that goes wrong: it calls tiles full of which it lets half of the keys in.
    struct hasty {
        bool attends(const heed::query_place& at, std::int64_t key) const { return key <= at.position; }
        heed::coverage classify(const heed::block_place&) const { return heed::coverage::full; }
    };
    const heed::status caught = heed::check(hasty{});
    std::printf("and of one that is wrong: %s\n", caught.message());
    good &= !caught;

    constexpr std::int64_t heads = 2, tokens = 700, dim = 16;
    const std::vector<float> q = numbers(heads * tokens * dim, 1), kv = numbers(tokens * heads * 2 * dim, 2);
    const heed::extents all{1, heads, tokens, dim};
    const heed::attention def{heed::softpick{}, slope_that_ends{0.1f}, strided_window{16, 8}};
    std::vector<float> fused(q.size()), strided(q.size());
    heed::or_throw(
        heed::attend(def, heed::bhsd(q, all), fused_kv{kv.data(), tokens, heads, dim}, heed::bhsd(fused, all)));

    // The same rows, as two views with strides: what a source of one's own saves where strides do.
    const heed::strides steps{0, 2 * dim, heads * 2 * dim};
    heed::or_throw(heed::attend(def, heed::bhsd(q, all), heed::strided(kv.data(), all, steps),
                                heed::strided(kv.data() + dim, all, steps), heed::bhsd(strided, all)));
    good &= holds("a source of one's own has the bits of views with strides", same_bits(fused, strided));
    return good ? 0 : 1;
}
