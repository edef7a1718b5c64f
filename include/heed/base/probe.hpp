// SPDX-License-Identifier: MIT
// The number that terms() is probed with. It takes what both scalars and vectors take and nothing else, so that what
// compiles for it compiles for every V; and what people write for scalars alone meets a sentence and no list of
// overloads.
#pragma once

#include "math.hpp"
#include "mistakes.hpp"

HEED_BEGIN
namespace detail {
namespace probe {

/// The outcome of a comparison: no bool, as a vector has one for each lane.
struct answer {
    template <class Truth, class = std::enable_if_t<std::is_same_v<Truth, bool>>>
    explicit operator Truth() const
    {
        static_assert(!std::is_same_v<Truth, bool>, HEED_ONE_TRUTH);
        return false;
    }
    friend answer operator&(answer, answer) { return {}; }
    friend answer operator|(answer, answer) { return {}; }
};

/// A number of which nothing is known. Its room is one of its own: a functor that calls max(x, 0) finds what is below,
/// and not heed::max.
struct number : no_number<number, double> {
    number() = default;
    template <class Number, class = std::enable_if_t<std::is_arithmetic_v<Number>>>
    constexpr number(Number)
    {}

    friend number operator+(number, number) { return {}; }
    friend number operator-(number, number) { return {}; }
    friend number operator*(number, number) { return {}; }
    friend number operator/(number, number) { return {}; }
    friend number operator-(number) { return {}; }

    number& operator+=(number) { return *this; }
    number& operator-=(number) { return *this; }
    number& operator*=(number) { return *this; }
    number& operator/=(number) { return *this; }

    friend answer operator<(number, number) { return {}; }
    friend answer operator>(number, number) { return {}; }
    friend answer operator<=(number, number) { return {}; }
    friend answer operator>=(number, number) { return {}; }
    friend answer operator==(number, number) { return {}; }
    friend answer operator!=(number, number) { return {}; }
};

// Names that a policy outside heed finds for vectors alone. Behind the first argument each conversion is the worst that
// there is: where heed::max is found too, that is called.
#define HEED_PLAIN_NAME(name)                                                                                          \
    template <class T>                                                                                                 \
    number name(const no_number<number, T>&, ...)                                                                      \
    {                                                                                                                  \
        static_assert(sizeof(T) == 0, "heed: a policy outside namespace heed writes heed::" #name                      \
                                      "(x): for scalars nothing finds the plain name");                                \
        return {};                                                                                                     \
    }
HEED_PLAIN_NAME(abs)
HEED_PLAIN_NAME(exp_neg_abs)
HEED_PLAIN_NAME(logistic)
HEED_PLAIN_NAME(max)
HEED_PLAIN_NAME(min)
HEED_PLAIN_NAME(softplus)
#undef HEED_PLAIN_NAME
template <class T>
number select(answer, T, ...)
{
    static_assert(sizeof(T) == 0, "heed: a policy outside namespace heed writes heed::select(c, a, b): for scalars "
                                  "nothing finds the plain name");
    return {};
}

}  // namespace probe

template <class T>
using if_number = std::enable_if_t<std::is_same_v<T, probe::number>, T>;

}  // namespace detail

template <>
struct lanes_of<detail::probe::number> {
    using element = double;
    static constexpr int count = 1;
    static detail::probe::number iota(std::int64_t) { return {}; }
    template <class E>
    static detail::probe::number load(const E*, std::int64_t)
    {
        return {};
    }
};

// The list of base/math.hpp.
#define HEED_OF_NUMBER(name)                                                                                           \
    template <class T>                                                                                                 \
    detail::if_number<T> name(T)                                                                                       \
    {                                                                                                                  \
        return {};                                                                                                     \
    }
HEED_OF_NUMBER(abs)
HEED_OF_NUMBER(exp)
HEED_OF_NUMBER(exp_neg_abs)
HEED_OF_NUMBER(expm1)
HEED_OF_NUMBER(log)
HEED_OF_NUMBER(log1p)
HEED_OF_NUMBER(logistic)
HEED_OF_NUMBER(softplus)
HEED_OF_NUMBER(sqrt)
HEED_OF_NUMBER(tanh)
#undef HEED_OF_NUMBER
#define HEED_OF_TWO_NUMBERS(name)                                                                                      \
    template <class T>                                                                                                 \
    detail::if_number<T> name(T, identity_t<T>)                                                                        \
    {                                                                                                                  \
        return {};                                                                                                     \
    }
HEED_OF_TWO_NUMBERS(copysign)
HEED_OF_TWO_NUMBERS(max)
HEED_OF_TWO_NUMBERS(min)
#undef HEED_OF_TWO_NUMBERS
template <class T>
detail::if_number<T> fma(T, identity_t<T>, identity_t<T>)
{
    return {};
}
template <class T>
detail::if_number<T> select(detail::probe::answer, T, identity_t<T>)
{
    return {};
}

HEED_END
