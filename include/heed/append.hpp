// SPDX-License-Identifier: MIT
// append: new tokens into a cache of any kind and element; fetch: what a cache holds, as floats.
//
//     lengths[sequence] += n;                                      // first: only tokens that a cache holds are written
//     heed::paged_kv cache{k_pool, v_pool, table};                 // the table lists the new tokens already
//     heed::append(cache, sequence, position, k_rows, v_rows);     // all sequences: append(cache, cu_seqlens, k, v)
//     heed::attend(def, q, cache, out);
//
// Drafts are rolled back by lowering the length again; the next append overwrites them. A ring has lost what the drafts
// overwrote: kv/ring.hpp says what it needs.
//
// Both check the sequence and the pages that they write or read, and nothing else of a table: their cost is the cost of
// the rows. A host that shares pages copies a shared page before it writes to it; neither verb looks for others that
// list the page. cache.check_exclusive(sequence, position, position + n) does, and reads the whole table. The append of
// packed rows looks, once for all sequences.
//
// |x - fetched x| is at most half a scale in int8, q8_0, q5_0 and q4_0, whose scale is chosen for the row or block,
// and 2^-4 |x| in fp8_e4m3, 2^-3 |x| in fp8_e5m2, or half of their smallest step; q5_1, q4_1, iq4_nl and mxfp4 are
// rounded as ggml does; u8_block and u4_block are off by half a scale, and by up to 2^-22 of the block's largest
// number. A row of zeros has scale 0 where there is no zero point. NaN and Inf make the scale NaN, and so the row or
// block; numbers with a given scale (of channels, or repeated over tokens) are cut off at the format's largest, and may
// not be NaN or Inf in int8. How an element is rounded is said in its file in base/element/.
//
// Keys with scales of blocks of n tokens (per_channel_block) are written block by block: from a block's first token on,
// to its last or the last one held. A host keeps the float rows of the block that is not full and appends them again
// with each new token; or it attends to them in a cache of their own, attend_partial() and merge(), as KIVI does.
#pragma once

#include "engine/cache_checks.hpp"
#include "engine/channel_block_side.hpp"
#include "engine/micro/quantise.hpp"
#include "engine/micro/widen.hpp"
#include "kv/dense.hpp"
#include "kv/scaled.hpp"

HEED_BEGIN

/// Leaves rows as they are.
struct no_transform {
    /// transform(row, dim, head, position), as append() calls it.
    template <class T>
    void operator()(T*, std::int64_t, std::int64_t, std::int64_t) const
    {}
};

/// What append() does to rows of keys and to rows of values before it writes them, where it changes both:
/// `row_transforms{of_keys, of_values}`, each a transform as append() takes one.
template <class Keys, class Values = no_transform>
struct row_transforms {
    Keys keys;      ///< of rows of keys
    Values values;  ///< of rows of values
};
template <class Keys, class Values>
row_transforms(Keys, Values) -> row_transforms<Keys, Values>;

namespace detail {

/// A transform of keys alone, and one of both, as one of both.
template <class Transform>
row_transforms<const Transform&> of_both(const Transform& keys)
{
    return {keys, {}};
}
template <class Keys, class Values>
const row_transforms<Keys, Values>& of_both(const row_transforms<Keys, Values>& both)
{
    return both;
}

/// Asks a transform that has a check() whether it can change rows of this size.
template <class Transform, class = void>
struct transform_check {
    static status of(const Transform&, const char*, const extents&) { return {}; }
};
template <class Transform>
struct transform_check<Transform, std::void_t<decltype(std::declval<const Transform&>().check("", "", extents()))>> {
    static status of(const Transform& transform, const char* name, const extents& rows)
    {
        return transform.check("append", name, rows);
    }
};
template <class Keys, class Values>
status check_transforms(const row_transforms<Keys, Values>& both, const extents& k, const extents& v)
{
    const status s = transform_check<std::decay_t<Keys>>::of(both.keys, "k rows", k);
    return s ? transform_check<std::decay_t<Values>>::of(both.values, "v rows", v) : s;
}

/// How one side of a cache, k or v, is written and read: at(head, token) is a row, at.scale(head, token) its scale.
template <class T, class E, class Row, class Scales>
class cache_side {
public:
    static constexpr bool per_token = is_per_token_v<Scales>, per_channel = is_per_channel_v<Scales>;
    static constexpr bool in_blocks = (channels_of<E> > 1);
    static_assert(std::is_same_v<Scales, unscaled> || element_traits<E>::takes_scales,
                  "heed: append and fetch know scales beside quantised numbers that are no blocks: int8 and fp8");
    static_assert(!std::is_same_v<Scales, unscaled> || !element_traits<E>::needs_scales,
                  "heed: rows of int8 have scales: scaled_kv");

    cache_side(Row at, const Scales& scales) : at_(at), scales_(scales) {}

    /// Whether every row can be written: a whole number with a given scale cannot be NaN or Inf.
    bool takes_all() const { return element_traits<E>::holds_nan || chooses(); }
    void write(std::int64_t head, std::int64_t token, const T* x, std::int64_t dim) const
    {
        auto* to = at_(head, token);
        if constexpr (in_blocks) {
            for (std::int64_t c = 0; c < dim; c += channels_of<E>) micro::quantise(x + c, to[c / channels_of<E>]);
        } else if constexpr (per_channel) {
            const float* scale = scales_.scale.row(0, head, 0);
            micro::quantise_by([&](std::int64_t c) { return scale[c]; }, x, dim, to);
        } else if constexpr (per_token) {
            auto& scale = *at_.scale(head, token);
            if (chooses()) scale = micro::quantise(x, dim, to);
            else micro::quantise_by([&](std::int64_t) { return scale; }, x, dim, to);
        } else {
            if constexpr (is_quantised_v<E>) {
                for (std::int64_t c = 0; c < dim; ++c) to[c] = E(x[c]);
            } else {
                micro::narrow(x, dim, to);
            }
        }
    }
    void read(std::int64_t head, std::int64_t token, std::int64_t dim, T* x) const
    {
        const auto* from = at_(head, token);
        for (std::int64_t c = 0; c < dim; ++c) {
            x[c] = static_cast<T>(channel_of(from, c));
            if constexpr (per_channel) x[c] *= scales_.scale.row(0, head, 0)[c];
            if constexpr (per_token) x[c] *= *at_.scale(head, token);
        }
    }

private:
    /// Scales of single tokens are chosen; others are given.
    bool chooses() const
    {
        if constexpr (per_token) return scales_.is_of_each_token();
        return in_blocks;
    }

    Row at_;
    Scales scales_;
};

/// Rows of k or of v of one sequence.
template <class Cache, bool Keys>
struct rows_of_sequence {
    const Cache& cache;
    std::int64_t sequence;

    auto* operator()(std::int64_t head, std::int64_t token) const
    {
        if constexpr (Keys) return cache.keys(sequence, head)(token).data;
        else return cache.values(sequence, head)(token).data;
    }
    auto* scale(std::int64_t head, std::int64_t token) const
    {
        if constexpr (Keys) return cache.key_scales(sequence, head)(token).data;
        else return cache.value_scales(sequence, head)(token).data;
    }
    auto steps(std::int64_t head, std::int64_t token) const { return cache.key_blocks(sequence, head).of(token); }
};

/// The scales of a cache, and the views that append() writes to.
template <class Cache>
struct scales_of {
    template <bool Keys>
    static unscaled side(const Cache&)
    {
        return {};
    }
    template <class F>
    static void written(const Cache& cache, F f)
    {
        cache.views(f);
    }
};
template <class Source, class K, class V>
struct scales_of<scaled_kv<Source, K, V>> {
    template <bool Keys>
    static auto side(const scaled_kv<Source, K, V>& cache)
    {
        if constexpr (Keys) return cache.key_scale;
        else return cache.value_scale;
    }
    template <class F>
    static void written(const scaled_kv<Source, K, V>& cache, F f)
    {
        cache.source.views(f);
        if constexpr (is_per_token_v<K>)
            if (cache.key_scale.is_of_each_token()) f("k scale", cache.key_scale.scale);
        if constexpr (is_per_channel_block_v<K>) {
            f("k scale", cache.key_scale.scale);
            f("k zero", cache.key_scale.zero);
        }
        if constexpr (is_per_token_v<V>)
            if (cache.value_scale.is_of_each_token()) f("v scale", cache.value_scale.scale);
    }
};

template <class T, bool Keys, class Cache>
auto side_of(const Cache& cache, std::int64_t sequence)
{
    using element = std::conditional_t<Keys, typename Cache::key_element, typename Cache::value_element>;
    using rows = rows_of_sequence<Cache, Keys>;
    const auto scales = scales_of<Cache>::template side<Keys>(cache);
    if constexpr (Keys && has_key_blocks_v<Cache>)
        return channel_block_side<T, element, rows>(rows{cache, sequence}, scales.tokens);
    else return cache_side<T, element, rows, std::remove_const_t<decltype(scales)>>(rows{cache, sequence}, scales);
}

/// A row as numbers of T.
template <class T, class E>
void read_row(const E* from, std::int64_t dim, T* to)
{
    for (std::int64_t c = 0; c < dim; ++c) to[c] = static_cast<T>(from[c]);
}

/// What rows of K and V are written as, to a cache that can be written to.
template <class Cache, class K, class V>
struct appended {
    using type = compute_t<K>;
    using key_row = decltype(*std::declval<const Cache&>().keys(0, 0)(0).data);
    using value_row = decltype(*std::declval<const Cache&>().values(0, 0)(0).data);
    static_assert(!std::is_const_v<std::remove_reference_t<key_row>> &&
                      !std::is_const_v<std::remove_reference_t<value_row>>,
                  "heed: append writes to a cache of views that are not const");
    static_assert(std::is_same_v<compute_t<V>, type>, "heed: k and v rows are float, bf16 and f16, or both double");
    /// What is written to const views is said once, and not compiled.
    static constexpr bool is_sound =
        !std::is_const_v<std::remove_reference_t<key_row>> && !std::is_const_v<std::remove_reference_t<value_row>>;
};
template <class Cache, class K, class V>
using appended_t = typename appended<Cache, K, V>::type;

/// Checks that what is written lies apart, from itself and from the rows.
template <class Cache, class K, class V>
status check_written(const Cache& cache, const view<K>& k, const view<V>& v)
{
    status s;
    scales_of<Cache>::written(cache, [&](const char* name, const auto& rows) {
        if (s) s = detail::check_output("append", name, rows);
        if (s && (detail::may_overlap(rows, k) || detail::may_overlap(rows, v)))
            s = status::error(errc::invalid_argument, "append: %s of the cache overlaps the rows to be written", name);
    });
    return s;
}

/// Tokens [position, position + n) of a sequence, to be written from rows of k and v.
template <class T, class Cache>
class new_rows {
public:
    new_rows(const Cache& cache, std::int64_t sequence, std::int64_t position, std::int64_t n)
        : keys_(side_of<T, true>(cache, sequence)), values_(side_of<T, false>(cache, sequence)), position_(position),
          n_(n), held_(cache.held(sequence).end)
    {}
    /// Whether all can be written: a whole number with a given scale cannot be NaN or Inf, blocks of tokens are whole.
    template <class K, class V, class Both>
    status check(const view<K>& k, const view<V>& v, std::int64_t first, const Both& transforms) const
    {
        status s;
        const auto refuse = [&](const char* name) {
            return [&s, name, first](const T* row, std::int64_t h, std::int64_t t, std::int64_t dim) {
                if (s && !micro::all_finite<T>(row, dim))
                    s = status::error(errc::invalid_argument,
                                      "append: %s rows: head %lld, token %lld: NaN or Inf, in int8 with a given scale",
                                      name, static_cast<long long>(h), static_cast<long long>(first + t));
            };
        };
        if constexpr (in_blocks) s = keys_.check(position_, position_ + n_, held_);
        if (!keys_.takes_all()) for_rows(k, first, transforms.keys, refuse("k"));
        if (!values_.takes_all()) for_rows(v, first, transforms.values, refuse("v"));
        return s;
    }
    template <class K, class V, class Both>
    void write(const view<K>& k, const view<V>& v, std::int64_t first, const Both& transforms) const
    {
        const auto write_to = [&](const auto& side) {
            return [&](const T* row, std::int64_t h, std::int64_t t, std::int64_t dim) {
                side.write(h, position_ + t, row, dim);
            };
        };
        if constexpr (in_blocks)
            for_rows(k, first, transforms.keys, [&](const T* row, std::int64_t h, std::int64_t t, std::int64_t dim) {
                keys_.see(h, position_ + t, row, dim);
            });
        for_rows(k, first, transforms.keys, write_to(keys_));
        for_rows(v, first, transforms.values, write_to(values_));
    }

private:
    static constexpr bool in_blocks = has_key_blocks_v<Cache>;

    /// f(a copy of the row, head, token, dim) of the rows from `first` on, behind `change`.
    template <class E, class Change, class F>
    void for_rows(const view<E>& rows, std::int64_t first, const Change& change, F f) const
    {
        T row[largest_row];
        const std::int64_t dim = rows.size.dim;
        for (std::int64_t h = 0; h < rows.size.heads; ++h)
            for (std::int64_t t = 0; t < n_; ++t) {
                read_row(rows.row(0, h, first + t), dim, row);
                change(row, dim, h, position_ + t);
                f(row, h, t, dim);
            }
    }

    decltype(side_of<T, true>(std::declval<const Cache&>(), 0)) keys_;
    decltype(side_of<T, false>(std::declval<const Cache&>(), 0)) values_;
    std::int64_t position_, n_, held_;
};

}  // namespace detail

/// Writes the tokens [position, position + n) of a sequence, quantised where the cache is.
///
/// k rows [1, Hkv, n, Dqk] and v rows [1, Hkv, n, Dv], float, bf16 and f16, or double for a cache of double. The cache
/// is a kv source over views that are not const. Its lengths or tables hold the new tokens already: raise a length,
/// then append; a token that the cache does not hold is refused. Drafts are rolled back by lowering the length again,
/// and the next append overwrites them. `transform(row, dim, head, position)` may change each row of keys first, in a
/// copy: RoPE, say, or a rotation (hadamard.hpp); `row_transforms{of_keys, of_values}` changes values too. It may be
/// called twice for a row. Where it has a `check(verb, name, extents)`, whose status is false for rows that it cannot
/// change, append asks that first. Allocates nothing; returns a status, and nothing is written where it is false.
template <class Cache, class K, class V, class Transform = no_transform>
status append(const Cache& cache, std::int64_t sequence, std::int64_t position, const view<K>& k, const view<V>& v,
              const Transform& transform = {})
{
    using T = detail::appended_t<Cache, K, V>;
    status s = detail::check_tokens("append", cache, sequence, position, k, v);
    if constexpr (detail::appended<Cache, K, V>::is_sound) {
        const auto& transforms = detail::of_both(transform);
        if (s) s = detail::check_written(cache, k, v);
        if (s) s = detail::check_transforms(transforms, k.size, v.size);
        if (!s) return s;

        const auto rows = detail::new_rows<T, Cache>(cache, sequence, position, k.size.tokens);
        s = rows.check(k, v, 0, transforms);
        if (s) rows.write(k, v, 0, transforms);
    }
    return s;
}

/// Writes the packed rows of all sequences, k rows [1, Hkv, rows, Dqk] and v rows [1, Hkv, rows, Dv]: rows [bounds[b],
/// bounds[b + 1]) are the last tokens of sequence b, of which the cache holds them already. One call a step: whether a
/// page that is written is listed twice is checked for all of them together, by reading the table once for every 512
/// pages that are written. The rest is as above, `transform` included.
template <class Cache, class K, class V, class Transform = no_transform>
status append(const Cache& cache, const index_view& bounds, const view<K>& k, const view<V>& v,
              const Transform& transform = {})
{
    using T = detail::appended_t<Cache, K, V>;
    status s = detail::check_packed_tokens(cache, bounds, k, v);
    if constexpr (detail::appended<Cache, K, V>::is_sound) {
        const auto& transforms = detail::of_both(transform);
        if (s) s = detail::check_written(cache, k, v);
        if (s) s = detail::check_transforms(transforms, k.size, v.size);
        const auto for_sequences = [&](auto f) {
            for (std::int64_t b = 0; s && b < cache.batch(); ++b) {
                const std::int64_t n = bounds[b + 1] - bounds[b];
                if (n > 0) f(detail::new_rows<T, Cache>(cache, b, cache.held(b).end - n, n), bounds[b]);
            }
        };
        for_sequences([&](const auto& rows, std::int64_t first) { s = rows.check(k, v, first, transforms); });
        for_sequences([&](const auto& rows, std::int64_t first) { rows.write(k, v, first, transforms); });
    }
    return s;
}

/// Reads the tokens [position, position + n) of a sequence into k rows [1, Hkv, n, Dqk] and v rows [1, Hkv, n, Dv] of
/// float, or double: what attention over the cache attends to. Returns a status; nothing is written where it is false.
template <class Cache, class T>
status fetch(const Cache& cache, std::int64_t sequence, std::int64_t position, const view<T>& k, const view<T>& v)
{
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "heed: fetch writes rows of float or double");
    status s = detail::check_tokens("fetch", cache, sequence, position, k, v);
    if (s) s = detail::check_output("fetch", "k rows", k);
    if (s) s = detail::check_output("fetch", "v rows", v);
    cache.views([&](const char* name, const auto& rows) {
        if (s && (detail::may_overlap(k, rows) || detail::may_overlap(v, rows)))
            s = status::error(errc::invalid_argument, "fetch: %s of the cache overlaps the rows to be filled", name);
    });
    if (!s) return s;
    const auto keys = detail::side_of<T, true>(cache, sequence);
    const auto values = detail::side_of<T, false>(cache, sequence);
    for (std::int64_t h = 0; h < cache.heads(); ++h)
        for (std::int64_t t = 0; t < k.size.tokens; ++t) {
            keys.read(h, position + t, cache.key_dim(), k.row(0, h, t));
            values.read(h, position + t, cache.value_dim(), v.row(0, h, t));
        }
    return {};
}

HEED_END
