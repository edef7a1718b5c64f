// SPDX-License-Identifier: MIT
// Conversions of bf16, f16 and fp8 say the same numbers whatever MXCSR says, one at a time and in registers.
#include "floating_point_modes.hpp"

#include <heed/engine/simd/vec.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <string>
#include <vector>

#if HEED_HAS_MXCSR

namespace {

template <class E>
std::vector<E> every()
{
    std::vector<E> all;
    for (std::uint32_t b = 0; b < 1u << (8 * sizeof(E)); ++b) {
        E e;
        e.bits = static_cast<decltype(e.bits)>(b);
        all.push_back(e);
    }
    return all;
}

/// The numbers of a format, the middles between neighbours and the floats around those, and others of all magnitudes.
template <class E>
std::vector<float> samples()
{
    std::vector<float> x;
    const std::vector<E> all = every<E>();
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
        const float a = all[i], b = all[i + 1], middle = a / 2 + b / 2;
        for (const float y : {a, middle, std::nextafter(middle, INFINITY), std::nextafter(middle, -INFINITY)})
            x.push_back(y);
    }
    for (std::uint32_t bits = 12345; bits < 0xffff0000u; bits += 54321) x.push_back(heed::detail::float_of(bits));
    while (x.size() % heed::simd::vec<float>::lanes) x.push_back(0);
    return x;
}

std::vector<std::uint32_t> bits_of(const std::vector<float>& x)
{
    std::vector<std::uint32_t> bits;
    for (const float y : x) bits.push_back(y != y ? 0x7fc00000u : heed::detail::bits_of(y));  // NaN has many names
    return bits;
}

template <class E>
std::vector<float> widened(const std::vector<E>& from)
{
    std::vector<float> to;
    for (const E e : from) to.push_back(e);
    return to;
}
template <class E>
std::vector<float> widened_in_registers(const std::vector<E>& from)
{
    std::vector<float> to(from.size());
    constexpr std::size_t lanes = heed::simd::vec<float>::lanes;
    for (std::size_t i = 0; i < from.size(); i += lanes)
        heed::simd::store(&to[i], heed::simd::load_as<float>(&from[i]));
    return to;
}

template <class E>
std::vector<std::uint32_t> narrowed(const std::vector<float>& from)
{
    std::vector<std::uint32_t> to;
    for (const float x : from) to.push_back(x != x ? 0xffff : E(x).bits);
    return to;
}
template <class E>
std::vector<std::uint32_t> narrowed_in_registers(const std::vector<float>& from)
{
    std::vector<E> to(from.size());
    constexpr std::size_t lanes = heed::simd::vec<float>::lanes;
    for (std::size_t i = 0; i < from.size(); i += lanes) heed::simd::store_as(&to[i], heed::simd::load(&from[i]));
    std::vector<std::uint32_t> bits;
    for (std::size_t i = 0; i < from.size(); ++i) bits.push_back(from[i] != from[i] ? 0xffff : to[i].bits);
    return bits;
}

template <class E>
void check_format(const std::string& format)
{
    const std::vector<E> all = every<E>();
    const std::vector<float> x = samples<E>();
    const auto wide = bits_of(widened(all));
    const auto narrow = narrowed<E>(x);
    faults::for_each_mode([&](const std::string& mode, unsigned bits) {
        INFO(format << ", " << mode);
        std::vector<std::vector<float>> wider;
        std::vector<std::vector<std::uint32_t>> narrower;
        {
            const faults::mxcsr there(bits);
            wider = {widened(all), widened_in_registers(all)};
            narrower.push_back(narrowed<E>(x));
            if constexpr (sizeof(E) == 2) narrower.push_back(narrowed_in_registers<E>(x));
        }
        if (std::is_same_v<E, heed::fp8_e4m3> && (bits & _MM_ROUND_MASK) == _MM_ROUND_DOWN && wider[1][0] == 0)
            wider[1][0] = 0;                                      // the zero of a register may have either sign here
        for (const auto& w : wider) CHECK((bits_of(w) == wide));  // thousands of numbers are not printed
        for (const auto& n : narrower) CHECK((n == narrow));
    });
}

}  // namespace

TEST_CASE("bf16, f16 and fp8 widen and narrow alike in all modes of rounding and of subnormal numbers")
{
    check_format<heed::bf16>("bf16");
    check_format<heed::f16>("f16");
    check_format<heed::fp8_e4m3>("fp8");
    check_format<heed::fp8_e5m2>("fp8_e5m2");
}

#endif
