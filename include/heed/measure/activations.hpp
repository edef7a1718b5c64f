// SPDX-License-Identifier: MIT
// Statistics of activations: moments and kurtosis of all numbers pooled, and massive activations. The functions take
// plain arrays of float, double, bf16 or f16 and allocate nothing.
#pragma once

#include "../base/element.hpp"
#include "../base/math.hpp"

#include <cmath>

HEED_BEGIN

/// Count, mean and central moments of numbers that are added array by array:
///
///     m_k = 1/n sum (x - mean)^k        kurtosis = m_4 / m_2^2        3 for normal numbers; not the excess
///
/// This is the population kurtosis of all numbers pooled; other definitions average over samples, or subtract 3. Each
/// piece of 4096 numbers is passed twice, and pieces are joined by the formulas of Pebay 2008 (SAND2008-6212), so that
/// errors grow neither with the mean nor with n.
class moments {
public:
    /// Adds the numbers x[0, n).
    template <class E>
    void add(const E* x, std::int64_t n)
    {
        for (; n > 0; n -= run, x += run) join(of_run(x, min_of(n, run)));
    }

    /// Adds all the numbers that another object has seen.
    void join(const moments& o)
    {
        if (o.count_ == 0) return;
        if (count_ == 0) {
            *this = o;
            return;
        }
        const double a = static_cast<double>(count_), b = static_cast<double>(o.count_), n = a + b;
        const double d = o.mean_ - mean_, d2 = d * d;
        fourth_ += o.fourth_ + d2 * d2 * (a / n) * (b / n) * ((a * a - a * b + b * b) / n) +
                   6 * d2 * (a / n * (a / n) * o.second_ + b / n * (b / n) * second_) +
                   4 * d * (a / n * o.third_ - b / n * third_);
        third_ += o.third_ + d2 * d * (a / n) * (b / n) * (a - b) + 3 * d * (a / n * o.second_ - b / n * second_);
        second_ += o.second_ + d2 * a * (b / n);
        mean_ += d * (b / n);
        lowest_ = o.lowest_ < lowest_ ? o.lowest_ : lowest_;
        highest_ = o.highest_ > highest_ ? o.highest_ : highest_;
        count_ += o.count_;
    }

    std::int64_t count() const { return count_; }  ///< how many numbers there were
    double mean() const { return mean_; }          ///< their mean; 0 of none
    /// m_2, the population variance; NaN where there are no numbers.
    double variance() const { return count_ == 0 ? undefined : second_ / static_cast<double>(count_); }
    /// m_4 / m_2^2; NaN where all numbers are equal.
    double kurtosis() const
    {
        return second_ == 0 ? undefined : static_cast<double>(count_) * fourth_ / (second_ * second_);
    }
    double lowest() const { return lowest_; }    ///< the smallest number; infinity of none
    double highest() const { return highest_; }  ///< the largest number; -infinity of none

private:
    static constexpr double undefined = std::numeric_limits<double>::quiet_NaN();  // 0 / 0 has a sign of the machine
    static constexpr std::int64_t run = 4096;

    template <class E>
    static moments of_run(const E* x, std::int64_t n)
    {
        moments m;
        m.count_ = n;
        double sum = 0;
        const auto near = static_cast<double>(x[0]);  // sums of differences from it round by the spread of the numbers
        for (std::int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) - near;
        m.mean_ = near + sum / static_cast<double>(n);
        for (std::int64_t i = 0; i < n; ++i) {
            const double v = static_cast<double>(x[i]), d = v - m.mean_, d2 = d * d;
            m.second_ += d2;
            m.third_ += d2 * d;
            m.fourth_ += d2 * d2;
            m.lowest_ = v < m.lowest_ ? v : m.lowest_;
            m.highest_ = v > m.highest_ ? v : m.highest_;
        }
        return m;
    }

    std::int64_t count_ = 0;
    double mean_ = 0, second_ = 0, third_ = 0, fourth_ = 0;  // sums of (x - mean)^k
    double lowest_ = std::numeric_limits<double>::infinity(), highest_ = -lowest_;
};

/// The element at place `place` of |x[0, n)| in rising order, 0 <= place < n, found without a copy: positive numbers
/// sort like their bits, and each pass settles one byte of the bits. NaN counts as larger than infinity.
template <class E>
E nth_magnitude(const E* x, std::int64_t n, std::int64_t place)
{
    static_assert(is_element_v<E>, "heed: activations are float, double, heed::bf16 or heed::f16");
    using bits = std::conditional_t<sizeof(E) == 8, std::uint64_t,
                                    std::conditional_t<sizeof(E) == 4, std::uint32_t, std::uint16_t>>;
    constexpr int width = 8 * static_cast<int>(sizeof(E));
    bits found = 0, settled = 0;
    for (int shift = width - 8; shift >= 0; shift -= 8) {
        std::int64_t having[256] = {};
        for (std::int64_t i = 0; i < n; ++i) {
            bits b;
            std::memcpy(&b, x + i, sizeof(b));
            b = static_cast<bits>(b & static_cast<bits>(~bits{0}) >> 1);  // without its sign
            if ((b & settled) == found) ++having[(b >> shift) & 0xff];
        }
        int byte = 0;
        while (byte < 255 && place >= having[byte]) place -= having[byte++];
        found = static_cast<bits>(found | static_cast<bits>(byte) << shift);
        settled = static_cast<bits>(settled | static_cast<bits>(0xff) << shift);
    }
    E result;
    std::memcpy(&result, &found, sizeof(result));
    return result;
}

/// The massive activations of a hidden state.
struct massive_activations {
    std::int64_t count = 0;  ///< of |x| > at_least and |x| > times * median
    double largest = 0;      ///< |x|, massive or not; NaN where there is one
    double median = 0;       ///< of |x|; of an even number of them the lower middle one
};

/// Finds the massive activations of x[0, n), the hidden state of one layer (Sun et al. 2024, arXiv 2402.17762, section
/// 2): numbers whose magnitude is above 100 and above a thousand times the median magnitude.
template <class E>
massive_activations find_massive(const E* x, std::int64_t n, double at_least = 100, double times = 1000)
{
    massive_activations found;
    if (n <= 0) return found;
    found.median = static_cast<double>(nth_magnitude(x, n, (n - 1) / 2));
    found.largest = static_cast<double>(nth_magnitude(x, n, n - 1));
    for (std::int64_t i = 0; i < n; ++i) {
        const double magnitude = std::fabs(static_cast<double>(x[i]));
        found.count += magnitude > at_least && magnitude > times * found.median;
    }
    return found;
}

HEED_END
