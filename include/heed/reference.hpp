// SPDX-License-Identifier: MIT
// The definition in plain loops, to be read beside the formulas and to judge the kernels by:
//
//     s_ij = maps(scale * (q_i . k_j))      p_ij = w(s_ij) / (c_i + sum_j u(s_ij))      o_i = sum_j p_ij v_j
//
// and p_ij = w(s_ij) e^-U_ij with U_ij = sum_{k > j} u(s_ik) where keys have an order.
// Real is double, or long double to judge double kernels. It allocates, and takes O(Sq Skv (Dqk + Dv)) operations.
#pragma once

#include "engine/validate.hpp"
#include "kv/dense.hpp"
#include "reference_threshold.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

HEED_BEGIN

/// Intermediate matrices [B, Hq, Sq, Skv], each null or filled; masked keys have weight 0.
template <class Real>
struct reference_dump {
    Real* scaled = nullptr;   ///< scale * (q . k)
    Real* mapped = nullptr;   ///< after the score maps
    Real* masked = nullptr;   ///< -inf where masked
    Real* weights = nullptr;  ///< p
    Real* lse = nullptr;      ///< [B, Hq, Sq]: ln of the denominator
};

namespace detail {

/// f(batch, head, row) for each query row.
template <class F>
void for_each_row(const extents& q, F f)
{
    for (std::int64_t b = 0; b < q.batch; ++b)
        for (std::int64_t h = 0; h < q.heads; ++h)
            for (std::int64_t i = 0; i < q.tokens; ++i) f(b, h, i);
}

/// One query row: its scores, denominator and weights.
template <class Real, class Def, class Q, class K>
class reference_row {
public:
    using normalizer = typename Def::normalizer_type;
    static constexpr Real infinity = std::numeric_limits<Real>::infinity();

    // The kernels round the scale to the tensors' type; that is part of the input, not an error.
    reference_row(const Def& definition, const view<Q>& queries, const view<K>& keys)
        : def(definition), q(queries), k(keys), scale(static_cast<compute_t<Q>>(def.scale_for(k.size.dim))),
          scaled(static_cast<std::size_t>(k.size.tokens)), mapped(scaled.size()), masked(scaled.size()),
          p(scaled.size()), left(scaled.size())
    {}

    void weigh(std::int64_t batch, std::int64_t head, std::int64_t row)
    {
        const std::int64_t position_0 = def.position_of_row_0(batch, q.size.tokens, k.size.tokens);
        at = {batch, head, row, position_0 + row};
        kv_head = head / (q.size.heads / k.size.heads);
        for (std::size_t j = 0; j < p.size(); ++j) {
            Real dot = 0;
            const auto key = static_cast<std::int64_t>(j);
            for (std::int64_t c = 0; c < q.size.dim; ++c)
                dot += static_cast<Real>(q.row(batch, head, row)[c]) * static_cast<Real>(k.row(batch, kv_head, key)[c]);
            scaled[j] = scale * dot;
            mapped[j] = def.map_score(scaled[j], score_place<Real>(at, key));
            masked[j] = def.attends(at, key) ? mapped[j] : -infinity;
        }

        if constexpr (has_order_v<normalizer>) return weigh_from_the_right();
        else if constexpr (has_threshold_v<normalizer>)
            return weigh_by_threshold(def.normalizer(), at, masked, p, m, den);
        else weigh_masked(head);
        if constexpr (has_log_offset_v<normalizer>)
            extra = std::exp(static_cast<Real>(def.normalizer().log_offset(head)) - m);
    }

    /// p_ij = w(s_ij) e^-U, U the sum of u over the keys that were met before, from the newest on.
    void weigh_from_the_right()
    {
        den = 1;
        Real sum = 0;
        for (std::size_t j = p.size(); j-- > 0;) {
            p[j] = 0;
            if (masked[j] == -infinity) continue;
            const auto t = def.normalizer().terms(reference_score<Real>(masked[j], Real(0)));
            left[j] = std::exp(-sum);
            p[j] = t.weight * left[j];
            sum += t.mass;
        }
    }

    void weigh_masked(std::int64_t head)
    {
        m = reference_shift(def.normalizer(), head, masked);
        den = 0;
        for (std::size_t j = 0; j < p.size(); ++j) {
            p[j] = 0;
            if (masked[j] == -infinity) continue;
            const auto t = def.normalizer().terms(reference_score<Real>(masked[j], m));
            if constexpr (has_mass_v<normalizer>) {
                p[j] = t.weight;
                den += t.mass;
            } else {
                p[j] = t.value;
            }
        }
        if constexpr (!has_mass_v<normalizer>) den = 1;
        if constexpr (has_log_offset_v<normalizer>)
            den += std::exp(static_cast<Real>(def.normalizer().log_offset(head)) - m);
        for (Real& x : p) x = den == 0 ? 0 : x / den;
    }

    /// Component c of the output.
    template <class V>
    Real output(const view<V>& v, std::int64_t c) const
    {
        Real o = 0;
        for (std::size_t j = 0; j < p.size(); ++j)
            if (p[j] != 0) o += p[j] * static_cast<Real>(v.row(at.batch, kv_head, static_cast<std::int64_t>(j))[c]);
        return o;
    }

    /// Fills a line of each matrix that is asked for.
    void write_to(const reference_dump<Real>& dump, std::int64_t line) const
    {
        const auto write = [&](Real* matrix, const std::vector<Real>& numbers) {
            if (matrix) std::copy(numbers.begin(), numbers.end(), matrix + line * k.size.tokens);
        };
        write(dump.scaled, scaled);
        write(dump.mapped, mapped);
        write(dump.masked, masked);
        write(dump.weights, p);
        if (dump.lse) dump.lse[line] = den == 0 ? -infinity : std::log(den) + m;
    }

    const Def& def;
    const view<Q> q;
    const view<K> k;
    const Real scale;
    query_place at;
    std::int64_t kv_head = 0;
    std::vector<Real> scaled, mapped, masked, p;  // scale (q . k); after the score maps; -inf where masked; weights
    std::vector<Real> left;                       // what newer keys leave, where keys have an order
    Real m = 0, den = 0, extra = 0;               // the shift; in units of e^m: the denominator, and c
};

template <class Def, class Q, class K, class V>
status check_reference(const char* verb, const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v)
{
    const packed<Q> rows{q, {}};
    const dense_kv kv{k, v};
    return first_error([&] { return check_inputs(verb, rows, kv); }, [&] { return check_input_memory(verb, rows, kv); },
                       [&] {
                           return def.check({q.size.batch, q.size.heads, k.size.heads, q.size.tokens, k.size.tokens});
                       });
}

}  // namespace detail

/// Fills out [B, Hq, Sq, Dv] and the matrices of `dump` that are not null. The definition is an attention, or one
/// policy of it. Returns a status; nothing is written where it is false.
template <class Real = double, class Def, class Q, class K, class V>
status reference(const Def& policies, const view<Q>& q, const view<K>& k, const view<V>& v, const view<Real>& out,
                 const reference_dump<Real>* dump = nullptr)
{
    using definition = detail::definition_t<Def>;
    const definition def(policies);
    const extents size{q.size.batch, q.size.heads, q.size.tokens, v.size.dim};
    const status s = detail::first_error([&] { return detail::check_reference("reference", def, q, k, v); },
                                         [&] { return detail::check_written_tensor("reference", "out", out, size); });
    if (!s) return s;
    detail::reference_row<Real, definition, Q, K> row(def, q, k);
    std::int64_t line = 0;  // of the matrices
    detail::for_each_row(q.size, [&](std::int64_t b, std::int64_t h, std::int64_t i) {
        row.weigh(b, h, i);
        for (std::int64_t c = 0; c < v.size.dim; ++c) out.row(b, h, i)[c] = row.output(v, c);
        if (dump) row.write_to(*dump, line);
        ++line;
    });
    return {};
}

HEED_END
