// SPDX-License-Identifier: MIT
// The gradient in plain loops, to be read beside the formulas and to judge the backward kernels by. With p_ij and o_i
// as in reference.hpp, and dO_i the gradient of a loss in o_i:
//
//     D_i = dO_i . o_i                              dlog c = -sum_i D_i c_i / den_i
//     dmapped_ij = (w'(s_ij) (dO_i . v_j) - u'(s_ij) D_i) / den_i          or, where keys have an order,
//     dmapped_ij = w'(s_ij) e^-U_ij (dO_i . v_j) - u'(s_ij) sum_{k < j} p_ik (dO_i . v_k)
//     ds_ij = dmapped_ij * (slopes of the score maps)
//     dq_i = scale sum_j ds_ij k_j        dk_j = scale sum_i ds_ij q_i        dv_j = sum_i p_ij dO_i
//
// A weight, slope, ds or output of exactly 0 takes nothing from what it would be multiplied with, NaN included. A row
// whose denominator is 0 has no gradient. Takes O(Sq Skv (Dqk + Dv)) operations.
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
    for_each_row(x.size, [&](std::int64_t b, std::int64_t h, std::int64_t i) {
        for (std::int64_t c = 0; c < x.size.dim; ++c) x.row(b, h, i)[c] = 0;
    });
}

/// Adds what one query row has to every gradient.
template <class Real, class Def, class Q, class K, class V, class DO>
void add_gradients(const reference_row<Real, Def, Q, K>& row, const view<V>& v, const view<DO>& dout,
                   const gradients<Real>& to)
{
    using normalizer = typename Def::normalizer_type;
    if (row.den == 0) return;
    const query_place& at = row.at;
    const auto* dout_row = dout.row(at.batch, at.head, at.row);
    Real d = 0;
    for (std::int64_t c = 0; c < v.size.dim; ++c)
        d += selected_product(row.output(v, c), [&] { return static_cast<Real>(dout_row[c]); });
    if (to.dlog_offset) to.dlog_offset[at.head] -= selected_product(row.extra, [&] { return d / row.den; });

    Real older = 0;  // sum_k p_ik (dO_i . v_k) over the keys k < j
    for (std::int64_t j = 0; j < row.k.size.tokens; ++j) {
        const auto x = static_cast<std::size_t>(j);
        if (row.masked[x] == -row.infinity) continue;
        const auto dp = [&] {
            Real dot = 0;
            for (std::int64_t c = 0; c < v.size.dim; ++c)
                dot += static_cast<Real>(dout_row[c]) * static_cast<Real>(v.row(at.batch, row.kv_head, j)[c]);
            return dot;
        };
        const auto slopes = row.def.normalizer().slopes(reference_score<Real>(row.masked[x], row.m));
        Real dmapped;
        if constexpr (has_order_v<normalizer>) {
            dmapped = selected_product(slopes.weight * row.left[x], dp) -
                      selected_product(row.left[x] == 0 ? 0 : slopes.mass, [&] { return older; });
            older += selected_product(row.p[x], dp);
        } else if constexpr (has_mass_v<normalizer>)
            dmapped =
                (selected_product(slopes.weight, dp) - selected_product(slopes.mass, [&] { return d; })) / row.den;
        else dmapped = selected_product(slopes.value, dp);

        const score_place<Real> place(at, j);
        const Real ds = row.def.map_score_back(row.scaled[x], place, dmapped, [&](auto kind, Real g) {
            if constexpr (decltype(kind)::value == parameter::per_head) {
                if (to.dslopes) to.dslopes[at.head] += g;
            } else if (to.dbias.data) {
                to.dbias.row(at.batch, at.head, at.row)[j] += g;
            }
        });
        add_multiple(row_or_null(to.dq, at.batch, at.head, at.row), row.scale * ds, row.k.row(at.batch, row.kv_head, j),
                     row.k.size.dim);
        add_multiple(row_or_null(to.dk, at.batch, row.kv_head, j), row.scale * ds, row.q.row(at.batch, at.head, at.row),
                     row.q.size.dim);
        add_multiple(row_or_null(to.dv, at.batch, row.kv_head, j), row.p[x], dout_row, v.size.dim);
    }
}

}  // namespace detail

/// Fills the gradients that are wanted, for dout [B, Hq, Sq, Dv]. Real is double, or long double to judge double
/// kernels. Returns a status; nothing is written where it is false.
template <class Real = double, class Def, class Q, class K, class V, class DO>
status reference_backward(const Def& policies, const view<Q>& q, const view<K>& k, const view<V>& v,
                          const view<DO>& dout, const gradients<Real>& grads)
{
    using definition = detail::definition_t<Def>;
    const definition def(policies);
    const char* verb = "reference_backward";
    const auto check_gradient = [&](const char* name, const view<Real>& x, const extents& want) {
        if (!x.data) return status{};
        return detail::is_empty(want) ? detail::check_extents(verb, name, x.size, want)
                                      : detail::check_written_tensor(verb, name, x, want);
    };
    const extents out{q.size.batch, q.size.heads, q.size.tokens, v.size.dim};
    const extents scores{q.size.batch, q.size.heads, q.size.tokens, k.size.tokens};
    const status s = detail::first_error([&] { return detail::check_reference(verb, def, q, k, v); },
                                         [&] { return detail::check_tensor(verb, "dout", dout, out); },
                                         [&] { return check_gradient("dq", grads.dq, q.size); },
                                         [&] { return check_gradient("dk", grads.dk, k.size); },
                                         [&] { return check_gradient("dv", grads.dv, v.size); },
                                         [&] { return check_gradient("dbias", grads.dbias, scores); });
    if (!s) return s;
    for (const view<Real>& x : {grads.dq, grads.dk, grads.dv, grads.dbias}) detail::set_to_zero(x);
    for (std::int64_t h = 0; h < q.size.heads; ++h) {
        if (grads.dlog_offset) grads.dlog_offset[h] = 0;
        if (grads.dslopes) grads.dslopes[h] = 0;
    }
    detail::reference_row<Real, definition, Q, K> row(def, q, k);
    detail::for_each_row(q.size, [&](std::int64_t b, std::int64_t h, std::int64_t i) {
        row.weigh(b, h, i);
        detail::add_gradients(row, v, dout, grads);
    });
    return {};
}

HEED_END
