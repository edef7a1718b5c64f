// SPDX-License-Identifier: MIT
// When is a result right? Per component, against the reference on the same inputs:
//
//     |o - ref| <= K * u * A + u |ref| + floor           K <= 4
//     A = sum_j |do/ds_j| (1 + g1 sigma_j + e_exp) + g2 sum_j p_j |v_j|
//     |do/ds_j| = |w'(s_j) v_j - u'(s_j) o| / den
//
// sigma_j is what the score's own roundings are worth: |scale| sum_c |q_c k_jc| through the slope of the score maps,
// plus the maps' result; g1 = sqrt(Dqk) and g2 = sqrt(keys of a tile + tiles) are the depths of the sums. Slopes are
// the functor's own, the largest within the score's error (a kink is crossed by rounding). The floor is underflow: one
// subnormal unit a term.
// The reference runs in double for float tensors, and in long double for double.
#pragma once

#include "score_error.hpp"

#include <heed/reference.hpp>

#include <limits>
#include <sstream>
#include <string>

namespace oracle {

/// The largest K of a result, and where it stands.
struct verdict {
    static constexpr double passing = 4;
    double k = 0;
    double got = 0, expected = 0;
    int64 batch = 0, head = 0, row = 0, channel = 0;

    std::string text() const
    {
        std::ostringstream s;
        s.precision(17);
        s << "K = " << k << " at [" << batch << ", " << head << ", " << row << ", " << channel << "]: " << got
          << ", expected " << expected;
        return s.str();
    }
};

/// Judges one row after another. T is what was computed in, K the keys' and values' type, as wide or wider.
template <class T, class Def, class K = T>
class gate {
    using real = wider_t<T>;
    using normalizer = typename Def::normalizer_type;
    static_assert(heed::has_slopes_v<normalizer>, "the gate needs the slopes of the normalizer");

    static constexpr real unit = std::numeric_limits<T>::epsilon() / 2;
    static constexpr real infinity = std::numeric_limits<real>::infinity();
    static constexpr real exp_error = 1;  // e_exp: beyond the 1 of the formula
    static constexpr real passing = verdict::passing;

public:
    gate(const Def& def, heed::view<const T> q, heed::view<const K> k, heed::view<const K> v)
        : def_(def), q_(q), k_(k), v_(v), keys_(k.size.tokens),
          ref_({q.size.batch, q.size.heads, q.size.tokens, v.size.dim})
    {
        const auto n = static_cast<std::size_t>(q.size.batch * q.size.heads * q.size.tokens * keys_);
        masked_.resize(n);
        weights_.resize(n);
        heed::reference_dump<real> dump;
        dump.masked = masked_.data();
        dump.weights = weights_.data();
        heed::or_throw(heed::reference<real>(def, q, k, v, ref_.view(), &dump));
        const auto n_keys = static_cast<real>(keys_);
        g2_ = std::sqrt(std::min<real>(n_keys, 512) + n_keys / 512);
    }

    verdict judge(heed::view<const T> out) const
    {
        verdict worst;
        for (int64 b = 0; b < q_.size.batch; ++b)
            for (int64 h = 0; h < q_.size.heads; ++h)
                for (int64 i = 0; i < q_.size.tokens; ++i) judge_row(b, h, i, out.row(b, h, i), worst);
        return worst;
    }

private:
    /// Slopes of one key, at the score and at both ends of its error.
    struct sensitivity {
        int64 key;
        real weight, roundings;
        real w[3], u[3];
    };

    void judge_row(int64 b, int64 h, int64 i, const T* out, verdict& worst) const
    {
        const int64 line = (b * q_.size.heads + h) * q_.size.tokens + i;
        const std::vector<real> s(masked_.begin() + line * keys_, masked_.begin() + (line + 1) * keys_);
        const real m = heed::reference_shift(def_.normalizer(), h, s);
        std::vector<sensitivity> row;
        const heed::query_place at{b, h, i, def_.position_of_row_0(b, q_.size.tokens, keys_) + i};
        real den = 0, extra = 0, attended = 0;
        for (int64 j = 0; j < keys_; ++j) {
            const real x = s[static_cast<std::size_t>(j)];
            if (x == -infinity) continue;
            ++attended;
            sensitivity e{j,
                          weights_[static_cast<std::size_t>(line * keys_ + j)],
                          judge_score(def_, q_, k_, heed::score_place<real>(at, j)).mapped_error,
                          {},
                          {}};
            const real error = std::min<real>(passing * unit * (1 + e.roundings), real(0.5));
            for (int end = 0; end < 3; ++end) {
                const auto slope =
                    def_.normalizer().slopes(heed::reference_score<real>(x + static_cast<real>(end - 1) * error, m));
                if constexpr (heed::has_mass_v<normalizer>) {
                    e.w[end] = slope.weight;
                    e.u[end] = slope.mass;
                } else {
                    e.w[end] = slope.value;
                }
            }
            if constexpr (heed::has_mass_v<normalizer>)
                den += def_.normalizer().terms(heed::reference_score<real>(x, m)).mass;
            row.push_back(e);
        }
        if constexpr (!heed::has_mass_v<normalizer>) den = 1;
        if constexpr (heed::has_log_offset_v<normalizer>) {
            const auto z = static_cast<real>(def_.normalizer().log_offset(h));
            const real c = std::exp(z - m);
            den += c;
            if (c > 0) extra = c / den * (2 + std::fabs(z));  // log c is rounded, then its exp
        }
        const int64 kv_head = h / (q_.size.heads / k_.size.heads);
        for (int64 c = 0; c < v_.size.dim; ++c) {
            const real o = ref_.view().row(b, h, i)[c];
            real by_scores = 0, by_values = 0, values = 0;
            for (const sensitivity& e : row) {
                const real v = static_cast<real>(v_.row(b, kv_head, e.key)[c]);
                real slope = 0;
                for (int end = 0; end < 3; ++end) slope = std::max(slope, std::fabs(e.w[end] * v - e.u[end] * o));
                by_scores += slope * (1 + exp_error + e.roundings);
                by_values += e.weight * std::fabs(v);
                values = std::max(values, std::fabs(v));
            }
            const real a = (den > 0 ? by_scores / den : 0) + g2_ * by_values + extra * std::fabs(o);
            using limits = std::numeric_limits<T>;
            const real underflow =
                (attended + 1) * (limits::denorm_min() + 4 * limits::denorm_min() * (den > 0 ? (1 + values) / den : 0));
            const real error = std::fabs(static_cast<real>(out[c]) - o);
            real k = 0;
            if (!std::isfinite(o) || !std::isfinite(out[c])) {
                const bool same = o != o ? out[c] != out[c] : static_cast<real>(out[c]) == o;
                if (!same) k = infinity;
            } else if (error > unit * std::fabs(o) + underflow) {
                k = a > 0 ? (error - unit * std::fabs(o) - underflow) / (unit * a) : infinity;
            }
            if (static_cast<double>(k) > worst.k)
                worst = {static_cast<double>(k), static_cast<double>(out[c]), static_cast<double>(o), b, h, i, c};
        }
    }

    const Def& def_;
    heed::view<const T> q_;
    heed::view<const K> k_, v_;
    int64 keys_;
    test::tensor<real> ref_;
    std::vector<real> masked_, weights_;
    real g2_ = 1;
};

/// The largest K of what attend makes of a problem.
template <class T, class Def>
verdict judged(const Def& def, const test::problem<T>& p)
{
    const auto out = p.attend(def);
    return gate<T, Def>(def, p.q.in(), p.k.in(), p.v.in()).judge(out.in());
}

}  // namespace oracle
