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
// A mask that names the keys one by one says so with a third. Kernels then read only those:
//
//     key_list list(const query_place&) const;               // the keys that the row attends, and no others
//     std::int64_t rows_of_list() const;                     // query rows, from each multiple of it on, that share one
//
// `a & b` attends where both do, `a | b` where either does.
#pragma once

#include "../base/place.hpp"
#include "../base/status.hpp"
#include "../base/view.hpp"

#include <utility>

HEED_BEGIN

/// What a mask does to a rectangle of rows and keys.
enum class coverage { none, partial, full };

/// One bit for each key of a key tile.
class key_bits {
public:
    static constexpr int capacity = key_tile;
    static constexpr int words = capacity / 64;

    void clear()
    {
        for (auto& w : word_) w = 0;
    }
    void clear_below(int bit)
    {
        for (int w = 0; w < words && w * 64 < bit; ++w)
            word_[w] &= bit >= w * 64 + 64 ? 0 : ~std::uint64_t{0} << (bit - w * 64);
    }
    void clear_from(int bit)
    {
        for (int w = bit / 64; w < words; ++w) word_[w] &= w * 64 < bit ? ~(~std::uint64_t{0} << (bit - w * 64)) : 0;
    }
    void set(int bit) { word_[bit / 64] |= std::uint64_t{1} << (bit % 64); }
    bool test(int bit) const { return (word_[bit / 64] >> (bit % 64)) & 1; }

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
    key_bits& operator&=(const key_bits& o)
    {
        for (int w = 0; w < words; ++w) word_[w] &= o.word_[w];
        return *this;
    }
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

/// Keys as a list: entry e stands for the keys [e * block, (e + 1) * block). Entries rise.
struct key_list {
    index_view entries;
    std::int64_t block = 1;

    /// The first entry that holds `key` or a later one.
    std::int64_t find(std::int64_t key) const
    {
        const std::int64_t wanted = key > 0 ? key / block : 0;
        return entries.with_numbers([&](const auto* at) {
            std::int64_t first = 0;
            for (std::int64_t n = entries.size(); n > 0;) {
                const std::int64_t half = n / 2;
                const bool below = at[first + half] < wanted;
                first = below ? first + half + 1 : first;
                n = below ? n - half - 1 : half;
            }
            return first;
        });
    }
    /// The keys of entry i.
    std::int64_t begin(std::int64_t i) const { return entries[i] * block; }
    std::int64_t end(std::int64_t i) const { return (entries[i] + 1) * block; }
    bool is(const key_list& o) const { return block == o.block && entries.is(o.entries); }
};

namespace detail {

template <class P, class = void>
struct has_attends : std::false_type {};
template <class P>
struct has_attends<
    P,
    std::enable_if_t<std::is_same_v<bool, decltype(std::declval<const P&>().attends(query_place{}, std::int64_t{}))>>>
    : std::true_type {};

template <class P, class = void>
struct has_classify : std::false_type {};
template <class P>
struct has_classify<P, std::void_t<decltype(std::declval<const P&>().classify(block_place{}))>> : std::true_type {};

template <class P, class = void>
struct has_mark : std::false_type {};
template <class P>
struct has_mark<P, std::void_t<decltype(std::declval<const P&>().mark(query_place{}, std::int64_t{}, int{},
                                                                      std::declval<key_bits&>()))>> : std::true_type {};

template <class P, class = void>
struct has_list : std::false_type {};
template <class P>
struct has_list<P, std::enable_if_t<std::is_same_v<key_list, decltype(std::declval<const P&>().list(query_place{}))>>>
    : std::true_type {};

template <class P, class = void>
struct has_mask_check : std::false_type {};
template <class P>
struct has_mask_check<P, std::void_t<decltype(std::declval<const P&>().check(problem{}))>> : std::true_type {};

template <class P>
status check_mask(const P& mask, const problem& p)
{
    if constexpr (has_mask_check<P>::value) return mask.check(p);
    else return {};
}

}  // namespace detail

template <class P>
inline constexpr bool is_mask_v = detail::has_attends<P>::value;

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
    std::int64_t begin, end;
};

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
    F predicate;

    explicit attend_where(F f) : predicate(std::move(f)) {}

    bool attends(const query_place& at, std::int64_t key) const
    {
        return predicate(at.batch, at.head, at.position, key);
    }
};

/// Keys that both masks attend.
template <class A, class B>
struct both_masks {
    A a;
    B b;

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
    A a;
    B b;

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

/// How many lists a row's keys must all be in: `a & b` has those of both.
template <class Mask>
struct lists_of : std::integral_constant<int, has_list<Mask>::value> {};
template <class A, class B>
struct lists_of<both_masks<A, B>> : std::integral_constant<int, lists_of<A>::value + lists_of<B>::value> {};

/// The first of them.
template <class Mask>
key_list first_list(const Mask& mask, const query_place& at)
{
    return mask.list(at);
}
template <class A, class B>
key_list first_list(const both_masks<A, B>& masks, const query_place& at)
{
    if constexpr (lists_of<A>::value > 0) return first_list(masks.a, at);
    else return first_list(masks.b, at);
}

/// How many query rows share it.
template <class Mask>
std::int64_t rows_of_list(const Mask& mask)
{
    return mask.rows_of_list();
}
template <class A, class B>
std::int64_t rows_of_list(const both_masks<A, B>& masks)
{
    if constexpr (lists_of<A>::value > 0) return rows_of_list(masks.a);
    else return rows_of_list(masks.b);
}

/// classify() of all that is no list.
template <class Mask>
coverage classify_beside_lists(const Mask& mask, const block_place& block)
{
    if constexpr (has_list<Mask>::value) return coverage::full;
    else return heed::classify(mask, block);
}
template <class A, class B>
coverage classify_beside_lists(const both_masks<A, B>& masks, const block_place& block)
{
    const coverage x = classify_beside_lists(masks.a, block), y = classify_beside_lists(masks.b, block);
    if (x == coverage::none || y == coverage::none) return coverage::none;
    return x == coverage::full ? y : x;
}

}  // namespace detail

template <class A, class B, class = std::enable_if_t<is_mask_v<A> && is_mask_v<B>>>
constexpr both_masks<A, B> operator&(A a, B b)
{
    return {a, b};
}

template <class A, class B, class = std::enable_if_t<is_mask_v<A> && is_mask_v<B>>>
constexpr either_mask<A, B> operator|(A a, B b)
{
    return {a, b};
}

namespace detail {

/// Whether A is no mask and B is one, or the other way round, of types that are made to be policies.
template <class A, class B>
inline constexpr bool is_mask_beside_another_v = is_mask_v<A> != is_mask_v<B>&& std::is_class_v<A>&& std::is_class_v<B>;

template <class A, class B>
constexpr unsound combine_masks()
{
    static_assert(is_mask_v<A> && is_mask_v<B>, "heed: & and | combine two masks; other policies stand beside them: "
                                                "heed::attention{heed::softpick{}, heed::causal{} & heed::window{8}}");
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
