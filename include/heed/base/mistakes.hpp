// SPDX-License-Identifier: MIT
// Mistakes that compile as far as the sentence that says what is wrong, where a compiler would list overloads. Most are
// uses of a vector as what it is not: a functor is written once, for scalars and vectors.
#pragma once

#include "config.hpp"

#include <cstddef>
#include <cstdint>
#include <type_traits>

HEED_BEGIN
namespace detail {

#define HEED_ONE_TRUTH                                                                                                 \
    "heed: vectors are compared lane by lane, each with an answer of its own: write heed::select(c, a, b) for "        \
    "`c ? a : b` and for `if (c)`"

/// The truth value of lanes that were compared.
template <class Mask>
bool one_truth()
{
    static_assert(sizeof(Mask) == 0, HEED_ONE_TRUTH);
    return false;
}

/// Base of V, a vector of T, which converts to no number. Functions of std:: that take numbers find the conversion to
/// long double; as that would leave `v + 1` to choose between two ways, operators take numbers of any type.
template <class V, class T>
struct no_number {
    template <class Number, class = std::enable_if_t<std::is_same_v<Number, long double>>>
    operator Number() const
    {
        static_assert(sizeof(V) == 0,
                      "heed: a vector is no number for std:: to take: write heed::exp(x) for std::exp(x), and "
                      "so max, min, abs, tanh, ... of base/math.hpp, which take both");
        return 0;
    }

private:
    template <class S>
    using if_number = std::enable_if_t<std::is_arithmetic_v<S>, int>;
    template <class S>
    HEED_INLINE static V in_all_lanes(S s)
    {
        return V(static_cast<T>(s));
    }
#define HEED_BESIDE_NUMBERS(op)                                                                                        \
    template <class S, if_number<S> = 0>                                                                               \
    HEED_INLINE friend auto operator op(V a, S b)                                                                      \
    {                                                                                                                  \
        return a op in_all_lanes(b);                                                                                   \
    }                                                                                                                  \
    template <class S, if_number<S> = 0>                                                                               \
    HEED_INLINE friend auto operator op(S a, V b)                                                                      \
    {                                                                                                                  \
        return in_all_lanes(a) op b;                                                                                   \
    }
    HEED_BESIDE_NUMBERS(+)
    HEED_BESIDE_NUMBERS(-)
    HEED_BESIDE_NUMBERS(*)
    HEED_BESIDE_NUMBERS(/)
    HEED_BESIDE_NUMBERS(<)
    HEED_BESIDE_NUMBERS(>)
    HEED_BESIDE_NUMBERS(<=)
    HEED_BESIDE_NUMBERS(>=)
    HEED_BESIDE_NUMBERS(==)
#undef HEED_BESIDE_NUMBERS
};

/// What `at.key` is. (A sentence for all vectors is said once: the parameter only puts it off until it is used.)
template <int Unused = 0>
struct key_of_many {
    constexpr operator std::int64_t() const
    {
        static_assert(Unused != 0,
                      "heed: at.key is many keys, one a lane: write at.load(t, -at.position) for "
                      "t[at.key - at.position], at.gather(f) for any other function of a key, and at.key_at(lane) for "
                      "the key of one lane");
        return 0;
    }
};

/// What `t[at]` makes of a place.
template <int Unused = 0>
std::ptrdiff_t index_of_many()
{
    static_assert(Unused != 0, "heed: a place is many keys, one a lane, and no index: write at.load(t) for t[key], and "
                               "at.gather(f) for any other function of a key");
    return 0;
}

// HEED_NAMES_MEMBER(name, otherwise) defines names_NAME<P>: whether a class has a member of that name, which does not
// ask whether it compiles or what it takes: beside another of that name it would be ambiguous. Of what nothing may
// inherit from, `otherwise` is asked.
#define HEED_NAMES_MEMBER(name, otherwise)                                                                             \
    struct another_##name {                                                                                            \
        int name;                                                                                                      \
    };                                                                                                                 \
    template <class P>                                                                                                 \
    struct two_##name : P, another_##name {};                                                                          \
    template <class P, bool Inherited = std::is_class_v<P> && !std::is_final_v<P>, class = void>                       \
    struct names_##name : std::conditional_t<Inherited, std::true_type, otherwise<P>> {};                              \
    template <class P>                                                                                                 \
    struct names_##name<P, true, std::void_t<decltype(&two_##name<P>::name)>> : std::false_type {};

/// Says that a view of a temporary would dangle.
template <class C>
constexpr void refuse_temporary()
{
    static_assert(sizeof(C) == 0, "heed: a view owns nothing, so what it sees outlives it and has a name: a temporary "
                                  "vector is gone when the view is used");
}

/// Says what tables of whole numbers are made of.
template <class N>
constexpr void refuse_numbers()
{
    static_assert(sizeof(N) == 0, "heed: a table of whole numbers is made of std::int32_t or std::int64_t (of long and "
                                  "long long only one is std::int64_t)");
}

/// The type of what a mistake has made, once a sentence has said so: whatever is made of it is not looked at.
struct unsound {
    unsound() = default;
    template <class T>
    constexpr unsound(const T&)
    {}
};

}  // namespace detail
HEED_END
