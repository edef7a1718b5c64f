// SPDX-License-Identifier: MIT
// When is a gradient right? Per component, against the reference on the same inputs:
//
//     |g - ref| <= K * u * A + u |ref|                                                            K <= 2
//
// A is the sum of what one rounding of each kind is worth, carried through the formulas to first order. With r_j the
// error of a score (score_error.hpp), and all errors d in units of u:
//
//     d w_j   = |w'_j| (2 + r_j)
//     d den   = sum_j |u'_j| (2 + r_j) + g2 den                     g2 = sqrt(keys of a tile + tiles)
//     d p_j   = d w_j / den + p_j (2 + d den / den)
//     d dP_j  = gv sum_c |dO_c v_jc|                                gv = sqrt(Dv)
//     d D     = sum_j |g_j| (2 + r_j) + (g2 + 2) sum_j p_j sum_c |dO_c v_jc| + gv sum_c |dO_c o_c|
//     d g_j   = |change of w'_j dP_j - u'_j D within r_j| / den + |w'_j| d dP_j / den + |u'_j| d D / den
//               + 4 (|w'_j dP_j| + |u'_j D|) / den + |g_j| d den / den
//     d ds_j  = |m_j| d g_j + |g_j| d m_j + 3 |ds_j|                m_j: the slopes of the score maps
//     d dq_c  = |scale| sum_j (d ds_j + gq |ds_j|) |k_jc|           gq = sqrt(keys)
//     d dk_c  = |scale| sum_i (d ds_ij + gk |ds_ij|) |q_ic|         gk = sqrt(query rows of the kv head)
//     d dv_c  = sum_i (d p_ij + gk p_ij) |dO_ic|
//
// dbias and dslopes are as ds, with the slopes of the maps in their parameters, and dlog c is sum_i D_i c_i / den_i.
// Here g_j = (w'_j dP_j - u'_j D) / den is the gradient in the mapped score: D's error by scores is g_j itself. Slopes
// of a normalizer are the largest within the score's error, for rounding crosses a kink. Each term may lose a subnormal
// unit. What has no error must be exact: a masked or weightless key has no A, and its gradient must be 0.
//
// The gate is stricter than the forward's, for the kernels reach 0.75 at most (AVX2): an error of 1e-5 in D, or of 2e-6
// in a denominator, does not pass.
#pragma once

#include "../gradients.hpp"
#include "score_error.hpp"

#include <sstream>
#include <string>

namespace oracle {

/// The largest K of a set of gradients, and where it stands.
struct gradient_verdict {
    static constexpr double passing = 2;
    double k = 0, got = 0, expected = 0;
    std::string of = "nothing";
    std::size_t index = 0;

    std::string text() const
    {
        std::ostringstream s;
        s.precision(17);
        s << "K = " << k << " at " << of << "[" << index << "]: " << got << ", expected " << expected;
        return s.str();
    }
};

/// Judges gradients that are computed in T, of tensors of E.
template <class Def, class E>
class gradient_gate {
    using T = heed::compute_t<E>;
    using real = wider_t<T>;
    using normalizer = typename Def::normalizer_type;

    static constexpr real unit = std::numeric_limits<T>::epsilon() / 2;
    static constexpr real infinity = std::numeric_limits<real>::infinity();
    static constexpr real passing = gradient_verdict::passing;
    static constexpr real underflow = std::numeric_limits<T>::denorm_min() / unit;

public:
    gradient_gate(const Def& def, const test::gradient_problem<E>& p)
        : def_(def), p_(p), ref_(p.template reference<real>(def)), allowed_(p.template room_for<real>(def, 0))
    {
        const auto n_keys = static_cast<real>(p.k.size.tokens), n_rows = static_cast<real>(p.q.size.tokens);
        g2_ = std::sqrt(std::min<real>(n_keys, 512) + n_keys / 512);
        gv_ = std::sqrt(static_cast<real>(p.v.size.dim));
        gq_ = std::sqrt(n_keys);
        gk_ = p.k.size.heads == 0 ? 0 : std::sqrt(n_rows * static_cast<real>(p.q.size.heads / p.k.size.heads));
        scale_ = std::fabs(static_cast<real>(static_cast<T>(def.scale_for(p.k.size.dim))));
        for (int64 b = 0; b < p.q.size.batch; ++b)
            for (int64 h = 0; h < p.q.size.heads; ++h)
                for (int64 i = 0; i < p.q.size.tokens; ++i) allow_row(b, h, i);
    }

    gradient_verdict judge(const test::owned_gradients<T>& got) const
    {
        gradient_verdict worst;
        const std::vector<T>* numbers[6];
        const std::vector<real>*expected[6], *allowed[6];
        int n = 0;
        got.for_each([&](const char*, const auto& x) { numbers[n++] = &x; });
        n = 0;
        allowed_.for_each([&](const char*, const auto& x) { allowed[n++] = &x; });
        n = 0;
        ref_.for_each([&](const char* name, const auto& x) {
            expected[n] = &x;
            for (std::size_t i = 0; i < x.size(); ++i) {
                const real k = judged(static_cast<real>((*numbers[n])[i]), (*expected[n])[i], (*allowed[n])[i]);
                if (static_cast<double>(k) > worst.k)
                    worst = {static_cast<double>(k), static_cast<double>((*numbers[n])[i]),
                             static_cast<double>((*expected[n])[i]), name, i};
            }
            ++n;
        });
        return worst;
    }

private:
    static real judged(real got, real expected, real allowed)
    {
        if (!std::isfinite(expected)) return expected != expected && got != got ? 0 : got == expected ? 0 : infinity;
        if (!std::isfinite(got) || !std::isfinite(allowed)) return infinity;
        const real error = std::fabs(got - expected);
        if (error <= unit * std::fabs(expected)) return 0;
        return allowed > 0 ? (error - unit * std::fabs(expected)) / (unit * allowed) : infinity;
    }

    static real absolute(real x) { return std::fabs(x); }

    /// A normalizer's slopes at one score.
    struct slope_pair {
        real w = 0, u = 0;
        real dmapped(real dp, real d) const { return w * dp - u * d; }
    };
    slope_pair slopes(real s, real m) const
    {
        const auto slope = def_.normalizer().slopes(heed::reference_score<real>(s, m));
        if constexpr (heed::has_mass_v<normalizer>) return {slope.weight, slope.mass};
        else return {slope.value, 0};
    }

    /// The derivatives of the score maps' result: in the score, and in the parameter of either kind.
    struct map_slopes {
        real score = 1, per_head = 0, per_score = 0;
    };
    map_slopes slopes_of_maps(real scaled, const heed::score_place<real>& at) const
    {
        map_slopes m;
        m.score = def_.map_score_back(scaled, at, real(1), [&](auto kind, real slope) {
            if constexpr (decltype(kind)::value == heed::parameter::per_head) m.per_head += slope;
            else m.per_score += slope;
        });
        return m;
    }

    /// What is known of one attended key of a row.
    struct attended {
        int64 key;
        judged_score<real> s;
        slope_pair at, low, high;      // slopes at the score, and at both ends of its error
        real weight = 0, mass = 0;     // w, u
        real dp = 0, absolute_dp = 0;  // dO . v_j, and the sum of its absolute terms

        real w_slope() const { return std::max({absolute(at.w), absolute(low.w), absolute(high.w)}); }
        real u_slope() const { return std::max({absolute(at.u), absolute(low.u), absolute(high.u)}); }
        real dmapped(real d) const
        {
            return std::max({absolute(at.dmapped(dp, d)), absolute(low.dmapped(dp, d)), absolute(high.dmapped(dp, d))});
        }
        real change(real d) const
        {
            const real here = at.dmapped(dp, d);
            return std::max(absolute(low.dmapped(dp, d) - here), absolute(high.dmapped(dp, d) - here)) /
                   (passing * unit);
        }
        bool counts() const { return weight != 0 || w_slope() != 0; }
    };

    std::vector<attended> keys_of(const heed::query_place& at, real& shift) const
    {
        std::vector<attended> row;
        std::vector<real> scores;
        for (int64 key = 0; key < p_.k.size.tokens; ++key) {
            if (!def_.attends(at, key)) continue;
            attended x;
            x.key = key;
            x.s = judge_score(def_, p_.q.in(), p_.k.in(), heed::score_place<real>(at, key));
            if (x.s.mapped == -infinity) continue;
            scores.push_back(x.s.mapped);
            row.push_back(x);
        }
        shift = heed::reference_shift(def_.normalizer(), at.head, scores);
        const E* const dout = p_.dout.in().row(at.batch, at.head, at.row);
        for (attended& x : row) {
            const auto t = def_.normalizer().terms(heed::reference_score<real>(x.s.mapped, shift));
            if constexpr (heed::has_mass_v<normalizer>) {
                x.weight = t.weight;
                x.mass = t.mass;
            } else {
                x.weight = t.value;
            }
            const real error = std::min<real>(passing * unit * x.s.mapped_error, real(0.5));
            x.at = slopes(x.s.mapped, shift);
            x.low = slopes(x.s.mapped - error, shift);
            x.high = slopes(x.s.mapped + error, shift);
            const E* const v = p_.v.in().row(at.batch, kv_head(at.head), x.key);
            for (int64 c = 0; c < p_.v.size.dim; ++c) {
                const real product = static_cast<real>(dout[c]) * static_cast<real>(v[c]);
                x.dp += product;
                x.absolute_dp += absolute(product);
            }
        }
        return row;
    }

    /// What is known of a row as a whole.
    struct row_sums {
        real den = 0, den_error = 0;
        real d = 0, d_error = 0;
        real extra = 0, extra_error = 0;  // c, in units of the denominator, and the relative error of c
    };

    row_sums sums_of(const std::vector<attended>& row, const heed::query_place& at, real shift) const
    {
        row_sums r;
        if constexpr (heed::has_log_offset_v<normalizer>) {
            const auto z = static_cast<real>(def_.normalizer().log_offset(at.head));
            r.extra = std::exp(z - shift);
            if (r.extra > 0) r.extra_error = 2 + absolute(z);  // log c is rounded, then its exp
        }
        r.den = heed::has_mass_v<normalizer> ? r.extra : 1;
        r.den_error = r.extra * r.extra_error;
        for (const attended& x : row) r.den += x.mass;
        if (r.den == 0) return r;
        if (heed::has_mass_v<normalizer>) r.den_error += g2_ * r.den;
        for (const attended& x : row) r.den_error += x.u_slope() * (2 + x.s.mapped_error);

        const E* const dout = p_.dout.in().row(at.batch, at.head, at.row);
        for (int64 c = 0; c < p_.v.size.dim; ++c) {
            real o = 0;
            for (const attended& x : row)
                if (x.weight != 0)
                    o += x.weight / r.den * static_cast<real>(p_.v.in().row(at.batch, kv_head(at.head), x.key)[c]);
            r.d += o * static_cast<real>(dout[c]);
            r.d_error += gv_ * absolute(o * static_cast<real>(dout[c]));
        }
        for (const attended& x : row)
            r.d_error += (x.dmapped(r.d) * (2 + x.s.mapped_error) + (g2_ + 2) * x.weight * x.absolute_dp) / r.den;
        r.d_error += absolute(r.d) * r.extra * r.extra_error / r.den;
        return r;
    }

    /// A number and its error.
    struct judged_number {
        real value = 0, error = 0;
    };

    judged_number weight_of(const attended& x, const row_sums& r) const
    {
        if (!x.counts()) return {};
        const real p = x.weight / r.den;
        return {p, x.w_slope() * (2 + x.s.mapped_error) / r.den + p * (2 + r.den_error / r.den) +
                       underflow * (1 + 1 / r.den)};
    }

    judged_number dmapped_of(const attended& x, const row_sums& r) const
    {
        if (x.w_slope() == 0 && x.u_slope() == 0) return {};
        const real g = x.at.dmapped(x.dp, r.d) / r.den;
        const real parts = absolute(x.at.w * x.dp) + absolute(x.at.u * r.d);
        const real by_slopes = x.change(r.d) + x.w_slope() * gv_ * x.absolute_dp + x.u_slope() * r.d_error + 4 * parts;
        return {g, by_slopes / r.den + absolute(g) * r.den_error / r.den +
                       underflow * (1 + absolute(x.dp) + absolute(r.d)) * (1 + 1 / r.den)};
    }

    /// The product with a map's slope: m, whose error is what the score's makes of it, and a rounding or two.
    static judged_number product(const judged_number& g, real m, real low, real high)
    {
        const real change = std::max(absolute(low - m), absolute(high - m)) / (passing * unit);
        return {g.value * m, absolute(m) * g.error + absolute(g.value) * (change + 3 * absolute(m))};
    }

    void allow_row(int64 b, int64 h, int64 i)
    {
        const heed::query_place at{b, h, i, def_.position_of_row_0(b, p_.q.size.tokens, p_.k.size.tokens) + i};
        real shift = 0;
        const std::vector<attended> row = keys_of(at, shift);
        const row_sums r = sums_of(row, at, shift);
        if (r.den == 0) return;
        const auto head = static_cast<std::size_t>(h);
        const real all_rows = std::sqrt(static_cast<real>(p_.q.size.batch * p_.q.size.tokens));
        if (!allowed_.dlog_offset.empty()) {
            const real share = r.extra / r.den;  // and a subnormal unit a row
            allowed_.dlog_offset[head] +=
                share * (r.d_error + absolute(r.d) * (3 + r.extra_error + r.den_error / r.den + all_rows)) +
                underflow * (1 + absolute(r.d)) * (1 + 1 / r.den);
        }
        for (const attended& x : row) {
            const heed::score_place<real> place(at, x.key);
            const judged_number p = weight_of(x, r), g = dmapped_of(x, r);
            const real step = passing * unit * x.s.scaled_error;
            const map_slopes m = slopes_of_maps(x.s.scaled, place), low = slopes_of_maps(x.s.scaled - step, place),
                             high = slopes_of_maps(x.s.scaled + step, place);
            const judged_number ds = product(g, m.score, low.score, high.score);
            add(allowed_.dq.view().row(b, h, i), scale_ * (ds.error + gq_ * absolute(ds.value)),
                p_.k.in().row(b, kv_head(h), x.key), p_.k.size.dim);
            add(allowed_.dk.view().row(b, kv_head(h), x.key), scale_ * (ds.error + gk_ * absolute(ds.value)),
                p_.q.in().row(b, h, i), p_.q.size.dim);
            add(allowed_.dv.view().row(b, kv_head(h), x.key), p.error + gk_ * p.value, p_.dout.in().row(b, h, i),
                p_.v.size.dim);
            if (!allowed_.dbias.data.empty())
                allowed_.dbias.view().row(b, h, i)[x.key] +=
                    product(g, m.per_score, low.per_score, high.per_score).error;
            if (!allowed_.dslopes.empty()) {
                const judged_number slope = product(g, m.per_head, low.per_head, high.per_head);
                allowed_.dslopes[head] += slope.error + all_rows * gq_ * absolute(slope.value);
            }
        }
    }

    void add(real* to, real factor, const E* from, int64 dim) const
    {
        if (factor == 0) return;
        for (int64 c = 0; c < dim; ++c) to[c] += factor * absolute(static_cast<real>(from[c])) + underflow;
    }

    int64 kv_head(int64 head) const { return head / (p_.q.size.heads / p_.k.size.heads); }

    const Def& def_;
    const test::gradient_problem<E>& p_;
    test::owned_gradients<real> ref_, allowed_;
    real g2_ = 0, gv_ = 0, gq_ = 0, gk_ = 0, scale_ = 0;
};

}  // namespace oracle
