// SPDX-License-Identifier: MIT
// Tensors of any strides between guard pages, and plain 128-bit loops that say which views are sound.
#pragma once

#include "memory.hpp"
#include "numbers.hpp"

#include <algorithm>
#include <vector>

namespace fuzz {

/// Channels of an element, and elements of a row.
template <class E>
inline constexpr int64 channels = 1;
template <>
inline constexpr int64 channels<heed::q8_0> = 32;
template <>
inline constexpr int64 channels<heed::q4_0> = 32;
template <>
inline constexpr int64 channels<heed::q5_0> = 32;
template <>
inline constexpr int64 channels<heed::q4_1> = 32;
template <>
inline constexpr int64 channels<heed::q5_1> = 32;
template <>
inline constexpr int64 channels<heed::iq4_nl> = 32;
template <>
inline constexpr int64 channels<heed::mxfp4> = 32;
template <int Group>
inline constexpr int64 channels<heed::u8_block<Group>> = Group;
template <int Group>
inline constexpr int64 channels<heed::u4_block<Group>> = Group;

/// Whether E has a scale and a zero point for a group of channels.
template <class E>
inline constexpr bool has_zero_point = false;
template <int Group>
inline constexpr bool has_zero_point<heed::u8_block<Group>> = true;
template <int Group>
inline constexpr bool has_zero_point<heed::u4_block<Group>> = true;

inline bool is_empty(const heed::extents& e) { return e.batch == 0 || e.heads == 0 || e.tokens == 0 || e.dim == 0; }

/// The elements that a view spans: [low, high).
struct span {
    wide low = 0, high = 0;
};
template <class E>
span span_of(const heed::view<E>& v)
{
    span s;
    const int64 count[] = {v.size.batch, v.size.heads, v.size.tokens},
                stride[] = {v.stride.batch, v.stride.heads, v.stride.tokens};
    for (int i = 0; i < 3; ++i) {
        const wide reach = (wide{count[i]} - 1) * stride[i];
        (reach < 0 ? s.low : s.high) += reach;
    }
    s.high += v.size.dim / channels<std::remove_const_t<E>>;
    return s;
}
inline bool fits(wide x) { return x >= std::numeric_limits<int64>::min() && x <= std::numeric_limits<int64>::max(); }

/// Whether sizes are such that the library may be given the view at all; strides too, where there is a row.
template <class E>
bool is_describable(const heed::view<E>& v)
{
    const heed::extents& e = v.size;
    if (e.batch < 0 || e.heads < 0 || e.tokens < 0 || e.dim < 1 || e.dim % channels<std::remove_const_t<E>>)
        return false;
    wide n = 1;
    for (const int64 x : {e.batch, e.heads, e.tokens, e.dim}) {
        n *= x;
        if (!fits(n)) return false;
    }
    if (is_empty(e)) return true;
    const span s = span_of(v);
    const wide size = sizeof(E);
    return fits(s.low) && fits(s.high) && fits(s.low * size) && fits(s.high * size);
}

/// Byte intervals of all rows, in order of address.
template <class E>
std::vector<std::pair<wide, wide>> rows_of(const heed::view<E>& v)
{
    std::vector<std::pair<wide, wide>> rows;
    if (is_empty(v.size)) return rows;
    const wide base = reinterpret_cast<std::uintptr_t>(v.data), size = sizeof(E);
    for (int64 b = 0; b < v.size.batch; ++b)
        for (int64 h = 0; h < v.size.heads; ++h)
            for (int64 t = 0; t < v.size.tokens; ++t) {
                const wide at =
                    base + size * (wide{b} * v.stride.batch + wide{h} * v.stride.heads + wide{t} * v.stride.tokens);
                rows.emplace_back(at, at + size * (v.size.dim / channels<std::remove_const_t<E>>));
            }
    std::sort(rows.begin(), rows.end());
    return rows;
}
inline bool touch(const std::vector<std::pair<wide, wide>>& rows)
{
    for (std::size_t i = 1; i < rows.size(); ++i)
        if (rows[i].first < rows[i - 1].second) return true;
    return false;
}
inline bool touch(const std::vector<std::pair<wide, wide>>& a, const std::vector<std::pair<wide, wide>>& b)
{
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        if (a[i].first < b[j].second && b[j].first < a[i].second) return true;
        (a[i].second < b[j].second ? i : j)++;
    }
    return false;
}

/// Whether strides nest: in some order each steps over all that the ones before span.
template <class E>
bool strides_nest(const heed::view<E>& v)
{
    const wide count[] = {v.size.batch, v.size.heads, v.size.tokens};
    const wide stride[] = {v.stride.batch, v.stride.heads, v.stride.tokens};
    int order[] = {0, 1, 2};
    do {
        wide spanned = v.size.dim / channels<std::remove_const_t<E>>;
        bool nests = true;
        for (const int i : order) {
            if (count[i] <= 1) continue;
            const wide s = stride[i] < 0 ? -stride[i] : stride[i];
            nests = nests && s >= spanned;
            spanned += (count[i] - 1) * s;
        }
        if (nests) return true;
    } while (std::next_permutation(order, order + 3));
    return false;
}

/// Opens the rows of a view for AddressSanitizer.
template <class E>
void open_rows(const heed::view<E>& v)
{
    for (const auto& [from, to] : rows_of(v))
        memory::open(reinterpret_cast<void*>(static_cast<std::uintptr_t>(from)), static_cast<std::size_t>(to - from));
}

/// Strides: dense in either layout, with gaps, in any order of the three, repeated or backwards.
inline heed::strides drawn_strides(input& in, const heed::extents& e, int64 row, bool written)
{
    const int64 count[] = {std::max<int64>(e.batch, 1), std::max<int64>(e.heads, 1), std::max<int64>(e.tokens, 1)};
    constexpr int orders[][3] = {{2, 1, 0}, {1, 2, 0}, {0, 1, 2}, {2, 0, 1}, {1, 0, 2}, {0, 2, 1}};
    const auto& order = orders[in.one_in(2) ? in.range(0, 5) : in.range(0, 1)];
    int64 step[3], spanned = row;
    const bool gaps = in.one_in(2);
    for (const int i : order) {
        step[i] = spanned + (gaps ? in.range(0, 9) * (in.one_in(6) ? 13 : 1) : 0);
        spanned = step[i] * count[i];
    }
    for (int64& s : step) {
        if (in.one_in(12)) s = -s;
        if (!written && in.one_in(12)) s = 0;
    }
    return {step[0], step[1], step[2]};
}

/// A view with memory of its own where its span allows, and otherwise at an address that nobody may touch; the
/// caller does not run such a call.
template <class E>
struct placed {
    heed::view<E> v;
    bool has_memory = true;

    /// The sizes are as wanted but for hostile ones.
    static placed drawn(input& in, heed::extents e, bool written, bool hostile)
    {
        placed p;
        constexpr int64 block = channels<std::remove_const_t<E>>;
        p.v.size = e;
        p.v.stride = drawn_strides(in, e, e.dim / block, written);
        if (hostile) {
            int64* const fields[] = {&p.v.stride.batch, &p.v.stride.heads, &p.v.stride.tokens, &p.v.size.batch,
                                     &p.v.size.heads,   &p.v.size.tokens,  &p.v.size.dim};
            for (int64 n = in.range(1, 2); n > 0; --n) *fields[in.range(0, 6) % (in.one_in(3) ? 7 : 3)] = in.hostile();
        }
        for (int i = 0; i < 3; ++i) {  // a stride that is never taken may be anything
            const int64 count = i == 0 ? e.batch : i == 1 ? e.heads : e.tokens;
            int64& step = i == 0 ? p.v.stride.batch : i == 1 ? p.v.stride.heads : p.v.stride.tokens;
            if (count <= 1 && in.one_in(16)) step = in.hostile();
        }
        p.place(in);
        return p;
    }
    void place(input& in)
    {
        constexpr wide most = 1 << 18;
        const bool sizes = v.size.batch >= 0 && v.size.heads >= 0 && v.size.tokens >= 0 && v.size.dim >= 1;
        const span s = span_of(v);
        if (sizes && is_empty(v.size)) {
            v.data = in.one_in(2) ? nullptr : reinterpret_cast<E*>(std::uintptr_t{0x1000});
            return;
        }
        if (!sizes || !is_describable(v) || (s.high - s.low) * wide{sizeof(E)} > most ||
            wide{v.size.batch} * v.size.heads * v.size.tokens > most) {
            has_memory = false;
            v.data = reinterpret_cast<E*>(std::uintptr_t{1} << 44);
            return;
        }
        const auto bytes = static_cast<std::size_t>((s.high - s.low) * wide{sizeof(E)});
        std::byte* const begin = all_memory().block(bytes, !in.one_in(4));
        v.data = reinterpret_cast<E*>(begin) - static_cast<int64>(s.low);
        open_rows(v);
    }
};

/// Whether the byte at an address is one of a row.
class row_bytes {
public:
    template <class E>
    explicit row_bytes(const heed::view<E>& v) : rows_(rows_of(v))
    {}
    bool operator()(const std::byte* p) const
    {
        const wide at = static_cast<wide>(reinterpret_cast<std::uintptr_t>(p));
        auto i = std::upper_bound(rows_.begin(), rows_.end(), std::pair<wide, wide>{at, wide{1} << 100});
        return i != rows_.begin() && at < std::prev(i)->second;
    }

private:
    std::vector<std::pair<wide, wide>> rows_;
};

/// Calls a task twice never and each once, in any order, on any worker; as an executor is allowed to.
struct shuffled {
    input* in;
    int workers;

    int concurrency() const { return workers; }
    template <class F>
    void operator()(int64 n, F f) const
    {
        std::vector<int64> order(static_cast<std::size_t>(n));
        for (int64 i = 0; i < n; ++i) order[static_cast<std::size_t>(i)] = i;
        for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[in->random() % i]);
        for (const int64 task : order) f(task, static_cast<int>(in->random() % static_cast<unsigned>(workers)));
    }
};

}  // namespace fuzz
