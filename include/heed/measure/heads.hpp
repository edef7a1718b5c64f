// SPDX-License-Identifier: MIT
// Statistics of heads, from what observe() says of their rows: sink rate, sparsity, dead heads. Arrays are plain and
// dense, [B, Hq, Sq]; for many layers or samples, average the rates and add the counts.
#pragma once

#include "../base/math.hpp"
#include "../base/view.hpp"

#include <cmath>

HEED_BEGIN

/// The sink rate of Gu et al. 2024 (arXiv 2410.10781, section 3): the share of (sample, head) whose mean weight on the
/// first token exceeds epsilon,
///
///     alpha = 1/Sq sum_i p_i0        rate = share of (b, h) with alpha > epsilon        usually 0.2 or 0.3
///
/// first_token comes from observe(), `heads` is the number B * Hq of samples and heads, `rows` is Sq. All rows count,
/// so pass only the real rows of padded sequences. Without heads the rate is 0.
template <class T>
double sink_rate(const T* first_token, std::int64_t heads, std::int64_t rows, double epsilon)
{
    std::int64_t sinks = 0;
    for (std::int64_t h = 0; h < heads; ++h) {
        double first = 0;
        for (std::int64_t i = h * rows; i < (h + 1) * rows; ++i) first += static_cast<double>(first_token[i]);
        sinks += first > epsilon * static_cast<double>(rows);
    }
    return heads > 0 ? static_cast<double>(sinks) / static_cast<double>(heads) : 0;
}

/// The sink rate of weights that need not sum to one: alpha is divided by the mean row sum, sum_i p_i0 / sum_i sum_j
/// p_ij, so that a head which attends little counts like any other. `total` comes from observe(). A head without weight
/// is no sink.
template <class T>
double sink_rate(const T* first_token, const T* total, std::int64_t heads, std::int64_t rows, double epsilon)
{
    std::int64_t sinks = 0;
    for (std::int64_t h = 0; h < heads; ++h) {
        double first = 0, all = 0;
        for (std::int64_t i = h * rows; i < (h + 1) * rows; ++i) {
            first += static_cast<double>(first_token[i]);
            all += static_cast<double>(total[i]);
        }
        sinks += first > epsilon * all;
    }
    return heads > 0 ? static_cast<double>(sinks) / static_cast<double>(heads) : 0;
}

/// The share of attended places whose weight is exactly 0, over `rows` rows. Given observe()'s `small` in place of
/// `zeros`, it is the share with |p| <= small_weight, which scripts that count zeros in f16 maps report. Masked places
/// count in neither number. Where nothing is attended the share is 0.
inline double sparsity(const std::int64_t* zeros, const std::int64_t* attended, std::int64_t rows)
{
    std::int64_t none = 0, all = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
        none += zeros[i];
        all += attended[i];
    }
    return all > 0 ? static_cast<double>(none) / static_cast<double>(all) : 0;
}

/// The number of tokens, over all samples, at which head `head` is silent: max_c |out| < below. A NaN is not silent.
template <class E>
std::int64_t silent_tokens(const view<E>& out, std::int64_t head, double below = 1e-6)
{
    std::int64_t silent = 0;
    for (std::int64_t b = 0; b < out.size.batch; ++b)
        for (std::int64_t i = 0; i < out.size.tokens; ++i) {
            const E* o = out.row(b, head, i);
            std::int64_t c = 0;
            while (c < out.size.dim && std::fabs(static_cast<double>(o[c])) < below) ++c;
            silent += c == out.size.dim;
        }
    return silent;
}

/// The number of dead heads (Zuhri et al. 2025, arXiv 2504.20966, section 3.6): heads that are silent for at least the
/// share `silent` of the tokens. out [B, Hq, Sq, Dv] is what attend() wrote; for a corpus in pieces add
/// silent_tokens().
template <class E>
std::int64_t dead_heads(const view<E>& out, double below = 1e-6, double silent = 0.95)
{
    const std::int64_t tokens = out.size.batch * out.size.tokens;
    std::int64_t dead = 0;
    for (std::int64_t h = 0; tokens > 0 && h < out.size.heads; ++h)
        dead += static_cast<double>(silent_tokens(out, h, below)) >= silent * static_cast<double>(tokens);
    return dead;
}

HEED_END
