// SPDX-License-Identifier: MIT
// The keys of a row that may still have a weight: scores and keys side by side, in the order of keys. Scores of some
// keys bound the threshold of all of them from below, so a key under that bound has weight 0 whatever follows, and is
// forgotten. What is left of a row is little more than what it attends, so its list stands in the cache, and the
// threshold, the weights and the rows of V are found from it.
#pragma once

#include "../kernel/row_normalizer.hpp"
#include "../simd/lanes.hpp"
#include "weights.hpp"

#include <cstring>

HEED_BEGIN
namespace kernel {

/// A key of a list is its place among the tokens that a sequence holds, as an integer of T's size: it moves from
/// register to register beside its score.
template <class T>
using list_key = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;
/// Integers up to this are no NaN for any instruction that moves them.
inline constexpr std::int64_t most_listed_tokens = 0x7f000000;

template <class T>
HEED_INLINE T as_payload(std::int64_t key)
{
    const auto n = static_cast<list_key<T>>(key);
    T x;
    std::memcpy(&x, &n, sizeof(x));
    return x;
}
template <class T>
HEED_INLINE std::int64_t key_of_payload(const T& x)
{
    list_key<T> n;
    std::memcpy(&n, &x, sizeof(n));
    return n;
}

/// What is known of a row while its keys come by.
template <class T>
struct row_list {
    T* scores = nullptr;
    T* keys = nullptr;               // payloads
    int count = 0, tightened = 24;   // and how many there were when the floor was last raised by a search
    T highest = -libm::infinity<T>;  // score
    T floor = -libm::infinity<T>;    // scores up to here have weight 0
    T shift = T(0), mass = T(0);     // of a share: the inner normalizer's sums so far

    /// Places behind a list that a store of whole registers may write.
    static constexpr int spare = 32;

    /// Appends the keys of s[begin, end) above the floor; a NaN is above. payloads[j] is the key of s[j].
    HEED_INLINE void collect(const T* s, key_range range, const T* payloads)
    {
        constexpr int lanes = vec<T>::lanes;
        const vec<T> bound(floor);
        T* to = scores + count;
        T* key_to = keys + count;
        for (int j = range.begin; j < range.end; j += lanes) {
            const vec<T> v = load(s + j);
            const std::uint32_t bits = above_bits(v, bound);
            if (bits == 0) continue;
            store_chosen(to, v, bits);
            store_chosen(key_to, load(payloads + j), bits);
            const int n = __builtin_popcount(bits);
            to += n;
            key_to += n;
        }
        count = static_cast<int>(to - scores);
    }
    /// The same by what is known of the scores s: those whose `by` is above a bound.
    HEED_INLINE void collect_by(const T* by, T bound, const T* s, key_range range, const T* payloads)
    {
        constexpr int lanes = vec<T>::lanes;
        const vec<T> least(bound), dropped(-libm::infinity<T>);
        for (int j = range.begin; j < range.end; j += lanes) {
            const vec<T> v = load(s + j);
            const std::uint32_t bits = above_bits(load(by + j), least) & above_bits(v, dropped);
            if (bits == 0) continue;
            store_chosen(scores + count, v, bits);
            store_chosen(keys + count, load(payloads + j), bits);
            count += __builtin_popcount(bits);
        }
    }
    /// Keeps the keys of which stays(scores) gives a bit.
    template <class Stays>
    HEED_INLINE void keep(Stays stays)
    {
        constexpr int lanes = vec<T>::lanes;
        int to = 0;
        for (int i = 0; i < count; i += lanes) {
            const int n = lanes < count - i ? lanes : count - i;
            const vec<T> v = load(scores + i), key = load(keys + i);
            const std::uint32_t bits = stays(v) & ((std::uint32_t{1} << n) - 1);
            store_chosen(scores + to, v, bits);
            store_chosen(keys + to, key, bits);
            to += __builtin_popcount(bits);
        }
        count = to;
    }
    void drop()
    {
        const vec<T> bound(floor);
        keep([&](vec<T> v) HEED_INLINE_LAMBDA { return above_bits(v, bound); });
    }
    /// -inf behind the last score, for loops over whole registers.
    HEED_INLINE void pad() const { store(scores + count, vec<T>(-libm::infinity<T>)); }
    void raise_floor(T to) { floor = to > floor ? to : floor; }
};

}  // namespace kernel
HEED_END
