// SPDX-License-Identifier: MIT
// The gradient in plain loops, to be read beside the formulas and to judge the backward kernels by. With p_ij and o_i
// as in reference.hpp, and dO_i the gradient of a loss in o_i:
//
//     D_i = dO_i . o_i                              dlog c = -sum_i D_i c_i / den_i
//     dmapped_ij = (w'(s_ij) (dO_i . v_j) - u'(s_ij) D_i) / den_i
//     ds_ij = dmapped_ij * (slopes of the score maps)
//     dq_i = scale sum_j ds_ij k_j        dk_j = scale sum_i ds_ij q_i        dv_j = sum_i p_ij dO_i
//
// A weight, slope, ds or output of exactly 0 takes nothing from what it would be multiplied with, NaN included. A row
// whose denominator is 0 has no gradient. It makes its own p and o, and takes O(Sq Skv (Dqk + Dv)) operations.
#pragma once

#include "gradients.hpp"
#include "reference.hpp"

HEED_BEGIN
namespace detail {

/// factor * y(), or 0 without asking for y.
template <class Real, class F>
Real selected_product(Real factor, F y)
{
    return factor == 0 ? 0 : factor * y();
}

/// a[c] += factor * b[c]; nothing where the factor is 0, or a null.
template <class Real, class B>
void add_multiple(Real* a, Real factor, const B* b, std::int64_t dim)
{
    if (!a || factor == 0) return;
    for (std::int64_t c = 0; c < dim; ++c) a[c] += factor * static_cast<Real>(b[c]);
}

template <class Real>
Real* row_or_null(const view<Real>& x, std::int64_t batch, std::int64_t head, std::int64_t token)
{
    return x.data ? x.row(batch, head, token) : nullptr;
}

template <class Real>
void set_to_zero(const view<Real>& x)
{
    if (!x.data) return;
    for (std::int64_t b = 0; b < x.size.batch; ++b)
        for (std::int64_t h = 0; h < x.size.heads; ++h)
            for (std::int64_t i = 0; i < x.size.tokens; ++i)
                for (std::int64_t c = 0; c < x.size.dim; ++c) x.row(b, h, i)[c] = 0;
}

/// One query row: its scores, its weights and output, and what it adds to every gradient.
template <class Real, class Def, class Q, class K, class V, class DO>
class reference_gradient_row {
    using normalizer = typename Def::normalizer_type;
    static constexpr Real infinity = std::numeric_limits<Real>::infinity();

public:
    reference_gradient_row(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<DO>& dout,
                           const gradients<Real>& to)
        : def_(def), q_(q), k_(k), v_(v), dout_(dout), to_(to),
          scale_(static_cast<compute_t<Q>>(def.scale_for(k.size.dim))),  // rounded as in reference.hpp
          scaled_(static_cast<std::size_t>(k.size.tokens)), s_(scaled_.size()), p_(scaled_.size()),
          o_(static_cast<std::size_t>(v.size.dim))
    {}

    void add(const query_place& place)
    {
        static_cast<query_place&>(at_) = place;
        kv_head_ = place.head / (q_.size.heads / k_.size.heads);
        score();
        weigh();
        if (den_ != 0) differentiate();
    }

private:
    std::size_t index(std::int64_t j) const { return static_cast<std::size_t>(j); }
    std::int64_t keys() const { return k_.size.tokens; }
    const Q* q_row() const { return q_.row(at_.batch, at_.head, at_.row); }
    const K* k_row(std::int64_t j) const { return k_.row(at_.batch, kv_head_, j); }
    const V* v_row(std::int64_t j) const { return v_.row(at_.batch, kv_head_, j); }
    const DO* dout_row() const { return dout_.row(at_.batch, at_.head, at_.row); }

    void score()
    {
        for (std::int64_t j = 0; j < keys(); ++j) {
            Real dot = 0;
            for (std::int64_t c = 0; c < q_.size.dim; ++c)
                dot += static_cast<Real>(q_row()[c]) * static_cast<Real>(k_row(j)[c]);
            at_.key = j;
            scaled_[index(j)] = scale_ * dot;
            s_[index(j)] = def_.attends(at_, j) ? def_.map_score(scale_ * dot, at_) : -infinity;
        }
    }

    void weigh()
    {
        m_ = reference_shift(def_.normalizer(), at_.head, s_);
        extra_ = 0;
        if constexpr (has_log_offset_v<normalizer>)
            extra_ = std::exp(static_cast<Real>(def_.normalizer().log_offset(at_.head)) - m_);
        den_ = has_mass_v<normalizer> ? extra_ : 1;
        for (std::size_t j = 0; j < s_.size(); ++j) {
            p_[j] = 0;
            if (s_[j] == -infinity) continue;
            const auto t = def_.normalizer().terms(reference_score<Real>(s_[j], m_));
            if constexpr (has_mass_v<normalizer>) {
                p_[j] = t.weight;
                den_ += t.mass;
            } else {
                p_[j] = t.value;
            }
        }
        for (Real& p : p_) p = den_ == 0 ? 0 : p / den_;
        for (Real& o : o_) o = 0;
        for (std::int64_t j = 0; j < keys(); ++j) add_multiple(o_.data(), p_[index(j)], v_row(j), v_.size.dim);
    }

    void differentiate()
    {
        Real d = 0;
        for (std::size_t c = 0; c < o_.size(); ++c)
            d += selected_product(o_[c], [&] { return static_cast<Real>(dout_row()[c]); });
        if (to_.dlog_offset) to_.dlog_offset[at_.head] -= selected_product(extra_, [&] { return d / den_; });

        for (std::int64_t j = 0; j < keys(); ++j) {
            if (s_[index(j)] == -infinity) continue;
            const auto dp = [&] {
                Real dot = 0;
                for (std::int64_t c = 0; c < v_.size.dim; ++c)
                    dot += static_cast<Real>(dout_row()[c]) * static_cast<Real>(v_row(j)[c]);
                return dot;
            };
            const auto slopes = def_.normalizer().slopes(reference_score<Real>(s_[index(j)], m_));
            Real dmapped;
            if constexpr (has_mass_v<normalizer>)
                dmapped =
                    (selected_product(slopes.weight, dp) - selected_product(slopes.mass, [&] { return d; })) / den_;
            else dmapped = selected_product(slopes.value, dp);

            at_.key = j;
            const Real ds = def_.map_score_back(scaled_[index(j)], at_, dmapped, [&](auto kind, Real g) {
                if constexpr (decltype(kind)::value == parameter::per_head) {
                    if (to_.dslopes) to_.dslopes[at_.head] += g;
                } else if (to_.dbias.data) {
                    to_.dbias.row(at_.batch, at_.head, at_.row)[j] += g;
                }
            });
            add_multiple(row_or_null(to_.dq, at_.batch, at_.head, at_.row), scale_ * ds, k_row(j), k_.size.dim);
            add_multiple(row_or_null(to_.dk, at_.batch, kv_head_, j), scale_ * ds, q_row(), q_.size.dim);
            add_multiple(row_or_null(to_.dv, at_.batch, kv_head_, j), p_[index(j)], dout_row(), v_.size.dim);
        }
    }

    const Def& def_;
    view<Q> q_;
    view<K> k_;
    view<V> v_;
    view<DO> dout_;
    gradients<Real> to_;
    Real scale_, m_ = 0, extra_ = 0, den_ = 0;
    score_place<Real> at_;
    std::int64_t kv_head_ = 0;
    std::vector<Real> scaled_, s_, p_, o_;
};

}  // namespace detail

/// Fills the gradients that are wanted, for dout [B, Hq, Sq, Dv]. Real is double, or long double to judge double
/// kernels.
template <class Real = double, class Def, class Q, class K, class V, class DO>
void reference_backward(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<DO>& dout,
                        const gradients<Real>& grads)
{
    for (const view<Real>& x : {grads.dq, grads.dk, grads.dv, grads.dbias}) detail::set_to_zero(x);
    for (std::int64_t h = 0; h < q.size.heads; ++h) {
        if (grads.dlog_offset) grads.dlog_offset[h] = 0;
        if (grads.dslopes) grads.dslopes[h] = 0;
    }
    detail::reference_gradient_row<Real, Def, Q, K, V, DO> row(def, q, k, v, dout, grads);
    for (std::int64_t b = 0; b < q.size.batch; ++b)
        for (std::int64_t h = 0; h < q.size.heads; ++h)
            for (std::int64_t i = 0; i < q.size.tokens; ++i)
                row.add({b, h, i, def.position_of_row_0(b, q.size.tokens, k.size.tokens) + i});
}

HEED_END
