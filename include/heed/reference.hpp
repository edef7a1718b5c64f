// SPDX-License-Identifier: MIT
// The definition in plain loops, to be read beside the formulas and to judge the kernels by:
//
//     s_ij = maps(scale * (q_i . k_j))      p_ij = w(s_ij) / (c_i + sum_j u(s_ij))      o_i = sum_j p_ij v_j
//
// Real is double, or long double to judge double kernels. It allocates, and takes O(Sq Skv (Dqk + Dv)) operations.
#pragma once

#include "attention.hpp"
#include "element.hpp"
#include "view.hpp"

#include <vector>

HEED_BEGIN

/// A score seen from a natural shift m (terms carry e^-m): what terms() and slopes() receive in the reference.
template <class Real>
class reference_score {
public:
    reference_score(Real s, Real m) : s_(s), m_(m) {}
    Real value() const { return s_; }
    Real exp() const { return std::exp(s_ - m_); }
    Real one() const { return std::exp(-m_); }
    Real expm1() const { return s_ > 1 ? std::exp(s_ - m_) - std::exp(-m_) : std::exp(-m_) * std::expm1(s_); }

private:
    Real s_, m_;
};

/// Matrices [B, Hq, Sq, Skv] to look into, each null or filled; masked keys have weight 0.
template <class Real>
struct reference_dump {
    Real* scaled = nullptr;   // scale * (q . k)
    Real* mapped = nullptr;   // after the score maps
    Real* masked = nullptr;   // -inf where masked
    Real* weights = nullptr;  // p
    Real* lse = nullptr;      // [B, Hq, Sq]: ln of the denominator
};

/// The natural shift of a row of scores.
template <class Normalizer, class Real>
Real reference_shift(const Normalizer& normalizer, std::int64_t head, const std::vector<Real>& s)
{
    (void)normalizer;
    (void)head;
    constexpr Real lowest = -std::numeric_limits<Real>::infinity();
    if constexpr (Normalizer::shift == heed::shift::none) return 0;
    Real m = Normalizer::shift == heed::shift::at_least_zero ? 0 : lowest;
    for (const Real x : s) m = x > m ? x : m;
    if constexpr (has_log_offset_v<Normalizer>) m = max(m, static_cast<Real>(normalizer.log_offset(head)));
    return m == lowest ? 0 : m;
}

template <class Real = double, class Def, class Q, class K, class V>
void reference(const Def& def, const view<Q>& q, const view<K>& k, const view<V>& v, const view<Real>& out,
               const reference_dump<Real>* dump = nullptr)
{
    using normalizer = typename Def::normalizer_type;
    constexpr Real infinity = std::numeric_limits<Real>::infinity();
    const std::int64_t keys = k.size.tokens;
    // The kernels round the scale to the tensors' type; that is part of the input, not an error.
    const Real scale = static_cast<compute_t<Q>>(def.scale_for(k.size.dim));
    std::vector<Real> s(static_cast<std::size_t>(keys)), p(s.size());
    std::int64_t line = 0;  // of the matrices

    for (std::int64_t b = 0; b < q.size.batch; ++b) {
        const std::int64_t position_0 = def.position_of_row_0(b, q.size.tokens, keys);
        for (std::int64_t h = 0; h < q.size.heads; ++h) {
            const std::int64_t kv_head = h / (q.size.heads / k.size.heads);
            for (std::int64_t i = 0; i < q.size.tokens; ++i, ++line) {
                const query_place place{b, h, i, position_0 + i};
                for (std::int64_t j = 0; j < keys; ++j) {
                    Real dot = 0;
                    for (std::int64_t c = 0; c < q.size.dim; ++c)
                        dot += static_cast<Real>(q.row(b, h, i)[c]) * static_cast<Real>(k.row(b, kv_head, j)[c]);
                    score_place<Real> at;
                    static_cast<query_place&>(at) = place;
                    at.key = j;
                    const Real mapped = def.map_score(scale * dot, at);
                    const std::size_t x = static_cast<std::size_t>(j);
                    s[x] = def.attends(place, j) ? mapped : -infinity;
                    if (dump && dump->scaled) dump->scaled[line * keys + j] = scale * dot;
                    if (dump && dump->mapped) dump->mapped[line * keys + j] = mapped;
                    if (dump && dump->masked) dump->masked[line * keys + j] = s[x];
                }

                const Real m = reference_shift(def.normalizer(), h, s);
                Real den = 0;
                for (std::size_t j = 0; j < s.size(); ++j) {
                    p[j] = 0;
                    if (s[j] == -infinity) continue;
                    const auto t = def.normalizer().terms(reference_score<Real>(s[j], m));
                    if constexpr (has_mass_v<normalizer>) {
                        p[j] = t.weight;
                        den += t.mass;
                    } else {
                        p[j] = t.value;
                    }
                }
                if constexpr (!has_mass_v<normalizer>) den = 1;
                if constexpr (has_log_offset_v<normalizer>)
                    den += std::exp(static_cast<Real>(def.normalizer().log_offset(h)) - m);

                for (Real& x : p) x = den == 0 ? 0 : x / den;
                for (std::int64_t c = 0; c < v.size.dim; ++c) {
                    Real o = 0;
                    for (std::int64_t j = 0; j < keys; ++j)
                        if (p[static_cast<std::size_t>(j)] != 0)
                            o += p[static_cast<std::size_t>(j)] * static_cast<Real>(v.row(b, kv_head, j)[c]);
                    out.row(b, h, i)[c] = o;
                }
                if (dump && dump->weights)
                    for (std::size_t j = 0; j < p.size(); ++j)
                        dump->weights[line * keys + static_cast<std::int64_t>(j)] = p[j];
                if (dump && dump->lse) dump->lse[line] = den == 0 ? -infinity : std::log(den) + m;
            }
        }
    }
}

HEED_END
