// SPDX-License-Identifier: MIT
// The kv-source contract: where the keys and values of a sequence lie. Storage is data, not a kernel: a source says
// where a segment of consecutive tokens starts, how far apart its rows are and how long it is.
//
//     using key_element = ..., value_element = ...;      // of base/element.hpp, in any mix, without const
//     static constexpr bool contiguous;                  // whether all tokens of a head are one segment
//     std::int64_t batch() const, heads() const, key_dim() const, value_dim() const;
//     token_span held(batch) const;                      // the tokens that there are
//     std::int64_t tokens() const;                       // the largest end of any held(); 0 for batch 0
//     bool ragged() const;                               // whether held() may differ between sequences
//     auto keys(batch, head) const;                      // the rows of a head: f(token), for a token in held(),
//     auto values(batch, head) const;                    // is the segment, rows<element>, that starts there
//     status check() const;                              // that sizes and lengths are sound: O(batch)
//     status check_rows() const;                         // that every row that may be read exists: O(pages)
//     void views(f) const;                               // f(name, view) for what rows lie in
//
// A source that may keep the rows of all heads of a token side by side, [token][head][channel], says so, and decode
// takes such heads together:
//
//     std::int64_t heads_side_by_side() const;           // how many: all, or 1
//
// and one of pages says whether those of a page lie behind each other, [page][head][slot][channel]:
//
//     std::int64_t heads_of_a_page() const;              // how many: all, or 1
//
// A source whose numbers are multiplied by scales adds those of these that it has; see kv/scaled.hpp:
//
//     auto key_scales(batch, head) const;                // rows as above, of one float: k_j is scale_j times its row
//     auto value_scales(batch, head) const;              // the same for values
//     const float* key_channel_scales(head) const;       // one for each channel of k
//     auto key_blocks(batch, head) const;                // of(token): scales and zero points of the channels of k, and
//                                                        // for how many tokens from there on
//
// A source where the tokens [n b, n b + n) stand in rows one behind the other, for any n that divides the rows of a
// view, and where no token takes the place of another, says so: scales of blocks of tokens may lie beside it.
//
//     static constexpr bool aligned_blocks = true;
//
// A source whose tokens lie one behind the other in two views `k` and `v` says for how many there is room, and where a
// sequence's tokens lie in any view of that shape: backward() then writes the gradients of keys and values as they lie,
// zeros behind the tokens that there are. Those of other sources are by position.
//
//     std::int64_t room(batch) const;
//     auto rows_in(view, batch, head) const;
//
// A source that has lost tokens between those that it holds adds
//
//     token_span gone(batch) const;                      // tokens inside held() that are there no more, or an empty
//                                                        // span; their rows may be read, and are selected out
//
// A source for append() and fetch(), which look at the tokens of one sequence and check nothing else, adds:
//
//     status check_sequence(batch) const;                // check() of one sequence: O(1)
//     status check_rows(batch, first, end) const;        // check_rows() of these tokens: O(their pages)
//     status check_exclusive(batch, first, end) const;   // that no other token shares their rows: O(all pages);
//                                                        // append of packed rows asks; it is for hosts that share
//                                                        // pages
//
// and, where that of many sequences together costs less,
//
//     status check_last_exclusive(bounds) const;         // check_exclusive() of the last bounds[b + 1] - bounds[b]
//                                                        // tokens of every sequence b
//
// and that append() can write to, through keys() and values() of rows that are not const:
//
//     auto as_const() const;                              // itself, of const rows, for kernels
//
// Kernels also call them for tokens up to key_tile before the first in held(), since they read whole registers
// of keys; whatever lies there is selected out.
#pragma once

#include "../base/element.hpp"
#include "../base/status.hpp"
#include "../base/view.hpp"

HEED_BEGIN

/// Consecutive rows at a constant stride, in elements; of quantised blocks in units of so many bytes.
template <class T, bool = (channels_of<std::remove_const_t<T>> > 1)>
struct rows {
    T* data;              ///< row 0
    std::int64_t stride;  ///< from a row to the next
    std::int64_t count;   ///< how many there are

    HEED_INLINE T* row(std::int64_t i) const { return data + i * stride; }  ///< row i
};
template <class T>
struct rows<T, true> {
    T* data;
    std::int64_t stride;
    std::int64_t count;
    std::int64_t stride_bytes = sizeof(T);

    HEED_INLINE T* row(std::int64_t i) const
    {
        using byte = std::conditional_t<std::is_const_v<T>, const char, char>;
        return reinterpret_cast<T*>(reinterpret_cast<byte*>(data) + i * stride * stride_bytes);
    }
};

namespace detail {
/// `count` rows from the first-th of those at `data` on.
template <class T>
HEED_INLINE rows<T> rows_from(T* data, std::int64_t first, std::int64_t stride, std::int64_t count,
                              const stride_unit<T>& unit)
{
    if constexpr (channels_of < std::remove_const_t < T >>> 1)
        return {after(data, first * stride, unit), stride, count, unit.stride_bytes()};
    else return {data + first * stride, stride, count};
}
}  // namespace detail

/// The rows of a head, all at one stride.
template <class E>
struct strided_rows : detail::stride_unit<E> {
    E* data;                      ///< the row of token 0
    std::int64_t stride, tokens;  ///< from a token to the next; how many there are

    /// Token 0 lies in slot `first` of the view.
    strided_rows(const view<E>& of, std::int64_t b, std::int64_t h, std::int64_t first = 0)
        : detail::stride_unit<E>(of), data(detail::after(of.row(b, h, 0), first * of.token_stride(), of)),
          stride(of.token_stride()), tokens(of.size.tokens - first)
    {}
    /// The segment from a token on, which is all that is left.
    HEED_INLINE rows<E> operator()(std::int64_t token) const
    {
        return detail::rows_from(data, token, stride, tokens - token, *this);
    }
};

/// Tokens [first, end) of a sequence; positions are absolute.
struct token_span {
    std::int64_t first, end;  ///< absolute positions
};

namespace detail {
template <class S, class = void>
struct is_kv_source : std::false_type {};
template <class S>
struct is_kv_source<
    S, std::void_t<typename S::key_element, typename S::value_element, decltype(std::declval<const S&>().keys(0, 0)),
                   decltype(std::declval<const S&>().values(0, 0))>> : std::true_type {};

template <class S, class = void>
struct has_key_scales : std::false_type {};
template <class S>
struct has_key_scales<S, std::void_t<decltype(std::declval<const S&>().key_scales(0, 0))>> : std::true_type {};
template <class S, class = void>
struct has_value_scales : std::false_type {};
template <class S>
struct has_value_scales<S, std::void_t<decltype(std::declval<const S&>().value_scales(0, 0))>> : std::true_type {};
template <class S, class = void>
struct has_channel_scales : std::false_type {};
template <class S>
struct has_channel_scales<S, std::void_t<decltype(std::declval<const S&>().key_channel_scales(0))>> : std::true_type {};

template <class S, class = void>
struct has_key_blocks : std::false_type {};
template <class S>
struct has_key_blocks<S, std::void_t<decltype(std::declval<const S&>().key_blocks(0, 0))>> : std::true_type {};

template <class S, class = void>
struct has_gone : std::false_type {};
template <class S>
struct has_gone<S, std::void_t<decltype(std::declval<const S&>().gone(0))>> : std::true_type {};

template <class S, class = void>
struct has_check_last_exclusive : std::false_type {};
template <class S>
struct has_check_last_exclusive<
    S, std::void_t<decltype(std::declval<const S&>().check_last_exclusive(std::declval<const index_view&>()))>>
    : std::true_type {};

template <class S, class = void>
struct has_as_const : std::false_type {};
template <class S>
struct has_as_const<S, std::void_t<decltype(std::declval<const S&>().as_const())>> : std::true_type {};

/// A source as kernels read it: caches that may be written to, or not, are one type to them.
template <class S>
auto as_const(const S& source)
{
    if constexpr (has_as_const<S>::value) return source.as_const();
    else return source;
}

/// How many heads' rows of a token lie side by side in k and in v, [token][head][channel]: all, or 1.
template <class K>
bool is_by_token(const view<K>& x)
{
    const std::int64_t row = elements_for<K>(x.size.dim) * x.element_stride(), head = x.stride.heads;
    const checked all = checked(head) * x.size.heads;
    return x.size.heads > 1 && x.size.tokens > 1 && row <= head && head - row <= row / 4 && all.fits() &&
           all.value() <= x.stride.tokens;
}
template <class K, class V>
std::int64_t heads_side_by_side(const view<K>& k, const view<V>& v)
{
    return is_by_token(k) && is_by_token(v) ? k.size.heads : 1;
}
/// The same of heads whose rows of a page lie behind each other without gaps, where a view's batch is its pages.
template <class K>
bool is_by_page(const view<K>& x)
{
    const checked row = checked(elements_for<K>(x.size.dim)) * x.element_stride(), head = row * x.size.tokens;
    return x.size.heads > 1 && head.fits() && x.stride.tokens == row.value() && x.stride.heads == head.value();
}
template <class K, class V>
std::int64_t heads_of_a_page(const view<K>& k, const view<V>& v)
{
    return is_by_page(k) && is_by_page(v) ? k.size.heads : 1;
}
template <class S, class = void>
struct has_heads_side_by_side : std::false_type {};
template <class S>
struct has_heads_side_by_side<S, std::void_t<decltype(std::declval<const S&>().heads_side_by_side())>>
    : std::true_type {};
/// The same of any source; 1 where it does not say.
template <class S>
std::int64_t heads_side_by_side_of(const S& source)
{
    if constexpr (has_heads_side_by_side<S>::value) return source.heads_side_by_side();
    else return 1;
}
template <class S, class = void>
struct has_heads_of_a_page : std::false_type {};
template <class S>
struct has_heads_of_a_page<S, std::void_t<decltype(std::declval<const S&>().heads_of_a_page())>> : std::true_type {};
template <class S>
std::int64_t heads_of_a_page_of(const S& source)
{
    if constexpr (has_heads_of_a_page<S>::value) return source.heads_of_a_page();
    else return 1;
}

/// What k and v have in common, in every source that keeps them in two views: `what` names the first size.
template <class K, class V>
status check_alike(const char* k_name, const view<K>& k, const char* v_name, const view<V>& v, const char* what)
{
    const extents &a = k.size, &b = v.size;
    if (a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens) return {};
    return status::error(
        errc::invalid_argument, "%s: %s %lld, heads %lld, tokens %lld differ from %s's %lld, %lld, %lld", v_name, what,
        static_cast<long long>(b.batch), static_cast<long long>(b.heads), static_cast<long long>(b.tokens), k_name,
        static_cast<long long>(a.batch), static_cast<long long>(a.heads), static_cast<long long>(a.tokens));
}

/// The largest end of what is held of any sequence.
template <class S>
std::int64_t longest(const S& source)
{
    std::int64_t most = 0;
    for (std::int64_t b = 0; b < source.batch(); ++b) most = source.held(b).end > most ? source.held(b).end : most;
    return most;
}

/// Checks that there are `count` lengths, and that the lengths of sequences [first, end) are in [0, most].
inline status check_lengths(const char* source, const index_view& lengths, std::int64_t count, std::int64_t most,
                            std::int64_t first, std::int64_t end)
{
    if (lengths.size() != count || !lengths.is_sound())
        return status::error(errc::invalid_argument, "%s: %lld lengths for %lld sequences", source,
                             static_cast<long long>(lengths.size()), static_cast<long long>(count));
    for (std::int64_t b = first; b < end; ++b)
        if (lengths[b] < 0 || lengths[b] > most)
            return status::error(errc::invalid_argument, "%s: lengths[%lld] = %lld is not in [0, %lld]", source,
                                 static_cast<long long>(b), static_cast<long long>(lengths[b]),
                                 static_cast<long long>(most));
    return {};
}
}  // namespace detail

/// True for a type with the members of a source that say where rows are.
template <class S>
inline constexpr bool is_kv_source_v = detail::is_kv_source<S>::value;
/// True where a source has a scale for each token of K: key_scales().
template <class S>
inline constexpr bool has_key_scales_v = detail::has_key_scales<std::remove_cv_t<S>>::value;
/// True where it has one for each token of V: value_scales().
template <class S>
inline constexpr bool has_value_scales_v = detail::has_value_scales<std::remove_cv_t<S>>::value;
/// True where it has one for each channel of K: key_channel_scales().
template <class S>
inline constexpr bool has_channel_scales_v = detail::has_channel_scales<std::remove_cv_t<S>>::value;
/// True where it has scales and zero points for blocks of tokens of K: key_blocks().
template <class S>
inline constexpr bool has_key_blocks_v = detail::has_key_blocks<std::remove_cv_t<S>>::value;
/// True where tokens between those that it holds may be lost: gone().
template <class S>
inline constexpr bool has_gone_v = detail::has_gone<std::remove_cv_t<S>>::value;

HEED_END
