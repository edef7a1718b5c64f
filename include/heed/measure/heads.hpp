// SPDX-License-Identifier: MIT
// What heads are like, from what observe() says of their rows: sink rate, sparsity, dead heads. Arrays are plain and
// dense, [B, Hq, Sq]; to measure many layers or samples, average rates and add counts.
#pragma once

#include "../base/math.hpp"
#include "../base/view.hpp"

HEED_BEGIN

/// The sink rate of Gu et al. 2024 (arXiv 2410.10781, section 3): the share of (sample, head) whose mean weight on the
/// first token exceeds epsilon,
///
///     alpha = 1/Sq sum_i p_i0        rate = share of (b, h) with alpha > epsilon        usually 0.2 or 0.3
///
/// first_token is observe()'s, `heads` the number B * Hq of samples and heads, `rows` Sq. All rows count: of padded
/// sequences pass the real ones. 0 of no heads.
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

/// The same of weights that need not sum to one: alpha over the mean row sum, sum_i p_i0 / sum_i sum_j p_ij, so that a
/// head is no less of a sink for attending little. `total` is observe()'s. A head without weight is no sink.
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

/// The share of attended places whose weight is exactly 0, over `rows` rows; of observe()'s `small` the share of those
/// with |p| <= small_weight, which scripts that count zeros in f16 maps report. Masked places are in neither number. 0
/// where nothing is attended.
inline double sparsity(const std::int64_t* zeros, const std::int64_t* attended, std::int64_t rows)
{
    std::int64_t none = 0, all = 0;
    for (std::int64_t i = 0; i < rows; ++i) {
        none += zeros[i];
        all += attended[i];
    }
    return all > 0 ? static_cast<double>(none) / static_cast<double>(all) : 0;
}

/// For how many tokens of all samples head `head` says nothing: max_c |out| < below. A NaN says something.
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

/// How many heads are dead (Zuhri et al. 2025, arXiv 2504.20966, section 3.6): silent for a share of the tokens of
/// `silent`, at least. out [B, Hq, Sq, Dv] is what attend() wrote; for a corpus in pieces add silent_tokens().
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
