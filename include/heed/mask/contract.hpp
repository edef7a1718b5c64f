// SPDX-License-Identifier: MIT
// The mask contract: which keys a query row attends. True always means "attend".
//
// A mask answers for one position; that is all a user's own mask needs:
//
//     bool attends(const heed::query_place& at, std::int64_t key) const;
//
// Two optional members make it quick, and must agree with it:
//
//     coverage classify(const heed::block_place&) const;     // none / partial / full; partial is always sound
//     void mark(const heed::query_place&, std::int64_t first, int count, heed::key_bits&) const;
//                                    // sets bit j where key first + j is attended, for j in [0, count)
//
// A mask that lists the keys one by one says so with two more: lists.hpp.
//
// `a & b` attends where both do, `a | b` where either does.
#pragma once

#include "../base/place.hpp"
#include "../base/status.hpp"

#include <utility>

HEED_BEGIN

/// What a mask does to a rectangle of rows and keys.
enum class coverage { none, partial, full };

/// One bit for each key of a key tile.
class key_bits {
public:
    static constexpr int capacity = key_tile;    ///< keys of a tile
    static constexpr int words = capacity / 64;  ///< of 64 bits

    /// Clears all.
    void clear()
    {
        for (auto& w : word_) w = 0;
    }
    /// Clears [0, bit).
    void clear_below(int bit)
    {
        for (int w = 0; w < words && w * 64 < bit; ++w)
            word_[w] &= bit >= w * 64 + 64 ? 0 : ~std::uint64_t{0} << (bit - w * 64);
    }
    /// Clears [bit, capacity).
    void clear_from(int bit)
    {
        for (int w = bit / 64; w < words; ++w) word_[w] &= w * 64 < bit ? ~(~std::uint64_t{0} << (bit - w * 64)) : 0;
    }
    /// Sets [bit, bit + 64) where `of` has a bit, cut to the capacity.
    void set_bits(int bit, std::uint64_t of)
    {
        const int w = bit / 64, above = bit % 64;
        word_[w] |= of << above;
        if (above > 0 && w + 1 < words) word_[w + 1] |= of >> (64 - above);
    }
    void set(int bit) { word_[bit / 64] |= std::uint64_t{1} << (bit % 64); }  ///< sets one bit
    bool test(int bit) const { return (word_[bit / 64] >> (bit % 64)) & 1; }  ///< whether a bit is set

    /// Sets [begin, end), cut to the capacity.
    void set_range(std::int64_t begin, std::int64_t end)
    {
        begin = max_of(begin, 0);
        end = min_of(end, capacity);
        if (begin >= end) return;
        const std::int64_t first = begin / 64, last = (end - 1) / 64;
        for (std::int64_t w = first; w <= last; ++w) {
            const std::uint64_t from = w == first ? ~std::uint64_t{0} << begin % 64 : ~std::uint64_t{0};
            word_[w] |= w == last ? from & (~std::uint64_t{0} >> (63 - (end - 1) % 64)) : from;
        }
    }
    /// Clears [begin, end), which lies within the capacity.
    void clear_range(std::int64_t begin, std::int64_t end)
    {
        key_bits kept;
        kept.clear();
        kept.set_range(0, begin);
        kept.set_range(end, capacity);
        *this &= kept;
    }
    /// Keeps what both have.
    key_bits& operator&=(const key_bits& o)
    {
        for (int w = 0; w < words; ++w) word_[w] &= o.word_[w];
        return *this;
    }
    /// Adds what the other has.
    key_bits& operator|=(const key_bits& o)
    {
        for (int w = 0; w < words; ++w) word_[w] |= o.word_[w];
        return *this;
    }
    /// First set bit, or capacity.
    int first() const
    {
        for (int w = 0; w < words; ++w)
            if (word_[w]) return w * 64 + __builtin_ctzll(word_[w]);
        return capacity;
    }
    /// One past the last set bit, or 0.
    int end() const
    {
        for (int w = words; w-- > 0;)
            if (word_[w]) return w * 64 + 64 - __builtin_clzll(word_[w]);
        return 0;
    }
    /// The bits from `bit` to the end of its word of 64.
    std::uint64_t word_from(int bit) const { return word_[bit / 64] >> (bit % 64); }
    /// Whether any of the sixteen bits from bit 16 * i on is set, as bit i.
    std::uint32_t any_of_sixteens() const
    {
        static_assert(capacity <= 16 * 32);
        std::uint32_t any = 0;
        for (int i = 0; i < capacity / 16; ++i) any |= std::uint32_t{sixteen(i * 16) != 0} << i;
        return any;
    }
    /// Bits [bit, bit + 16); bit is a multiple of 16.
    std::uint32_t sixteen(int bit) const { return (word_[bit / 64] >> (bit % 64)) & 0xffffu; }

private:
    std::uint64_t word_[words] = {};
};

namespace detail {

template <class P, class = void>
struct has_attends : std::false_type {};
template <class P>
struct has_attends<
    P,
    std::enable_if_t<std::is_same_v<bool, decltype(std::declval<const P&>().attends(query_place{}, std::int64_t{}))>>>
    : std::true_type {};

HEED_NAMES_MEMBER(attends, has_attends)

template <class P, class = void>
struct has_classify : std::false_type {};
template <class P>
struct has_classify<P, std::void_t<decltype(std::declval<const P&>().classify(block_place{}))>> : std::true_type {};
HEED_NAMES_MEMBER(classify, has_classify)

template <class P, class = void>
struct has_mark : std::false_type {};
template <class P>
struct has_mark<P, std::void_t<decltype(std::declval<const P&>().mark(query_place{}, std::int64_t{}, int{},
                                                                      std::declval<key_bits&>()))>> : std::true_type {};
HEED_NAMES_MEMBER(mark, has_mark)

template <class P>
status check_mask(const P& mask, const problem& p)
{
    if constexpr (has_check<P>::value) return mask.check(p);
    else return {};
}

}  // namespace detail

/// True for a type with attends() of a mask.
template <class P>
inline constexpr bool is_mask_v = detail::has_attends<P>::value;

namespace detail {

/// Whether P is a mask, or none by intent, and a sentence where its attends() is not that of a mask.
template <class P>
struct sound_mask {
    static constexpr bool value = is_mask_v<P> || !names_attends<P>::value;
    static_assert(value, "heed: a mask has a const member `bool attends(const heed::query_place& at, std::int64_t key) "
                         "const`");
    static_assert(
        !is_mask_v<P> || has_classify<P>::value == names_classify<P>::value,
        "heed: classify() of a mask is a const member `heed::coverage classify(const heed::block_place&) const`");
    static_assert(
        !is_mask_v<P> || has_mark<P>::value == names_mark<P>::value,
        "heed: mark() of a mask is a const member `void mark(const heed::query_place&, std::int64_t first, int "
        "count, heed::key_bits&) const`");
};

}  // namespace detail

/// classify() of any mask.
template <class Mask>
coverage classify(const Mask& mask, const block_place& block)
{
    if constexpr (detail::has_classify<Mask>::value) return mask.classify(block);
    else return coverage::partial;
}

/// mark() of any mask: sets the bits of the attended keys among [first, first + count).
template <class Mask>
void mark(const Mask& mask, const query_place& at, std::int64_t first, int count, key_bits& bits)
{
    if constexpr (detail::has_mark<Mask>::value) {
        mask.mark(at, first, count, bits);
    } else {
        for (int j = 0; j < count; ++j)
            if (mask.attends(at, first + j)) bits.set(j);
    }
}

/// Keys [begin, end).
struct key_span {
    std::int64_t begin, end;  ///< absolute positions
};
/// A count of keys, or an end of a span, that has no limit.

inline constexpr std::int64_t unbounded = std::numeric_limits<std::int64_t>::max();

/// Base of the masks whose every row attends one span of keys, `key_span span(const query_place&) const`, with
/// ends that never move back from one row to the next.
template <class Derived>
struct span_mask {
    bool attends(const query_place& at, std::int64_t key) const
    {
        const key_span s = self().span(at);
        return s.begin <= key && key < s.end;
    }
    coverage classify(const block_place& b) const
    {
        const key_span first = self().span(b.first_row()), last = self().span(b.last_row());
        if (b.key_end <= first.begin || last.end <= b.key_begin) return coverage::none;
        if (last.begin <= b.key_begin && b.key_end <= first.end) return coverage::full;
        return coverage::partial;
    }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        const key_span s = self().span(at);
        bits.set_range(max_of(s.begin, first) - first, min_of(s.end, first + count) - first);
    }

private:
    const Derived& self() const { return static_cast<const Derived&>(*this); }
};

/// Every key: the mask of a definition that names none.
struct all_keys {
    bool attends(const query_place&, std::int64_t) const { return true; }
    coverage classify(const block_place&) const { return coverage::full; }
    void mark(const query_place&, std::int64_t, int count, key_bits& bits) const { bits.set_range(0, count); }
};

/// A mask from a predicate f(batch, head, query position, key position) -> bool.
template <class F>
struct attend_where {
    F predicate;  ///< what attends() asks

    /// Takes a copy of f.
    explicit attend_where(F f) : predicate(std::move(f)) {}

    bool attends(const query_place& at, std::int64_t key) const
    {
        return predicate(at.batch, at.head, at.position, key);
    }
};

/// Keys that both masks attend.
template <class A, class B>
struct both_masks {
    A a;  ///< written to the left of &
    B b;  ///< written to the right of it

    bool attends(const query_place& at, std::int64_t key) const { return a.attends(at, key) && b.attends(at, key); }
    coverage classify(const block_place& block) const
    {
        const coverage x = heed::classify(a, block);
        if (x == coverage::none) return x;
        const coverage y = heed::classify(b, block);
        return x == coverage::full ? y : y == coverage::none ? y : coverage::partial;
    }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        key_bits other;
        heed::mark(a, at, first, count, bits);
        heed::mark(b, at, first, count, other);
        bits &= other;
    }
    status check(const problem& p) const
    {
        const status s = detail::check_mask(a, p);
        return s ? detail::check_mask(b, p) : s;
    }
};

/// Keys that either mask attends.
template <class A, class B>
struct either_mask {
    A a;  ///< written to the left of |
    B b;  ///< written to the right of it

    bool attends(const query_place& at, std::int64_t key) const { return a.attends(at, key) || b.attends(at, key); }
    coverage classify(const block_place& block) const
    {
        const coverage x = heed::classify(a, block);
        if (x == coverage::full) return x;
        const coverage y = heed::classify(b, block);
        return x == coverage::none ? y : y == coverage::full ? y : coverage::partial;
    }
    void mark(const query_place& at, std::int64_t first, int count, key_bits& bits) const
    {
        key_bits other;
        heed::mark(a, at, first, count, bits);
        heed::mark(b, at, first, count, other);
        bits |= other;
    }
    status check(const problem& p) const
    {
        const status s = detail::check_mask(a, p);
        return s ? detail::check_mask(b, p) : s;
    }
};

namespace detail {

/// Whether A and B are masks and no more than that.
template <class A, class B>
inline constexpr bool are_masks_v = is_mask_v<A>&& is_mask_v<B> && !has_map<A>::value && !has_map<B>::value;

}  // namespace detail

/// Attends where both masks do.
template <class A, class B, class = std::enable_if_t<detail::are_masks_v<A, B>>>
constexpr both_masks<A, B> operator&(A a, B b)
{
    return {a, b};
}

/// Attends where either mask does.
template <class A, class B, class = std::enable_if_t<detail::are_masks_v<A, B>>>
constexpr either_mask<A, B> operator|(A a, B b)
{
    return {a, b};
}

namespace detail {

/// Whether A is no mask and B is one, or the other way round, of types that are made to be policies; or both are masks
/// and one maps scores too.
template <class A, class B>
inline constexpr bool is_mask_beside_another_v = (is_mask_v<A> ||
                                                  is_mask_v<B>)&&std::is_class_v<A>&& std::is_class_v<B> &&
                                                 !are_masks_v<A, B>;

template <class A, class B>
constexpr unsound combine_masks()
{
    constexpr bool are_both = is_mask_v<A> && is_mask_v<B>;
    static_assert(are_both || !(sound_mask<A>::value && sound_mask<B>::value),
                  "heed: & and | combine two masks; other policies stand beside them: "
                  "heed::attention{heed::softpick{}, heed::causal{} & heed::window{8}}");
    static_assert(!are_both,
                  "heed: a mask that adds to scores too, such as heed::attention_mask of numbers, is not combined by & "
                  "and |, which would lose what it adds; it stands beside other masks, and a key passes all of them: "
                  "heed::attention{heed::attention_mask{table}, heed::causal{}}");
    return {};
}

}  // namespace detail

template <class A, class B, class = std::enable_if_t<detail::is_mask_beside_another_v<A, B>>>
constexpr auto operator&(const A&, const B&)
{
    return detail::combine_masks<A, B>();
}
template <class A, class B, class = std::enable_if_t<detail::is_mask_beside_another_v<A, B>>>
constexpr auto operator|(const A&, const B&)
{
    return detail::combine_masks<A, B>();
}

HEED_END
