// SPDX-License-Identifier: MIT
// What is right, in plain loops of double (of long double for double), and by how much a result may differ from it.
//
//     |o - exact| <= 2 u A + u' |o| + floor
//     A = sum_j |dw_j v_j - du_j o| e_j + 4 |w_j v_j - u_j o| + depth (sum_j p_j |v_j| + |o|)
//
// as DESIGN.md section 8 has it, but with the whole depth of each sum in place of its square root: no luck is needed to
// keep it, so that whatever breaks it is a finding. e_j is the error of a score in units of u, from the sum of |q k|;
// where every partial sum is a number of the type, it is 0. Slopes are taken at both ends of that error. Rows that it
// makes uncertain beyond first order, or in which something overflows, are only watched for not disturbing others.
#pragma once

#include "recipe.hpp"

#include <algorithm>
#include <cmath>

namespace fuzz {

template <class T>
using real_of = std::conditional_t<std::is_same_v<T, double>, long double, double>;

/// Decoded tensors; sequence b holds tokens [first[b], end[b]) and has rows [0, queries[b]).
struct problem {
    int64 batch = 0, query_heads = 0, kv_heads = 0, key_dim = 0, value_dim = 0;
    std::vector<int64> queries, first, end, total;  // total: keys of the whole sequence
    std::vector<std::vector<double>> q, k, v;       // of a sequence: [head][row][channel]
    std::vector<std::pair<int64, int64>> gone = {};  // of each sequence, or none: tokens that are there no more

    extent sizes() const
    {
        extent e{batch, query_heads, kv_heads, 0, 0};
        for (int64 b = 0; b < batch; ++b) {
            e.queries = std::max(e.queries, queries[static_cast<std::size_t>(b)]);
            e.keys = std::max(e.keys, total[static_cast<std::size_t>(b)]);
        }
        return e;
    }
    const double* q_row(std::size_t b, int64 h, int64 i) const { return q[b].data() + (h * queries[b] + i) * key_dim; }
    const double* k_row(std::size_t b, int64 g, int64 j) const
    {
        return k[b].data() + (g * (end[b] - first[b]) + j - first[b]) * key_dim;
    }
    const double* v_row(std::size_t b, int64 g, int64 j) const
    {
        return v[b].data() + (g * (end[b] - first[b]) + j - first[b]) * value_dim;
    }
};

/// One attended key of a row.
template <class Real>
struct scored_key {
    int64 key;
    Real scaled, s;                    // before and after the maps
    Real scaled_error = 0, error = 0;  // of both, in units of u
    Real w = 0, u = 0;                 // terms, times e^-m
    Real w_slope = 0, u_slope = 0;     // the largest within the error
    bool nan = false;                  // what it is made of is
};

/// What is known of a row.
template <class Real>
struct row {
    enum kind { certain, nan, wild } what = certain;  // wild: not to be judged
    std::vector<scored_key<Real>> keys;
    int64 kv_head = 0, position = 0;
    Real m = 0, mass = 0, extra = 0, den = 0;
    Real den_error = 0;      // in units of u
    bool weightless = true;  // no key may have a weight
};

template <class T>
class oracle {
public:
    using real = real_of<T>;
    static constexpr real infinity = std::numeric_limits<real>::infinity();
    static constexpr real u = unit_of<T>;

    oracle(const recipe<T>& r, const problem& p, bool scaled_rows = false) : r_(r), p_(p), scaled_rows_(scaled_rows) {}

    row<real> weigh(int64 b, int64 h, int64 i) const
    {
        row<real> x;
        const auto bs = static_cast<std::size_t>(b);
        x.kv_head = h / (p_.query_heads / p_.kv_heads);
        x.position = i + r_.position_0(b, p_.queries[bs], p_.total[bs]);
        for (int64 j = p_.first[bs]; j < p_.end[bs]; ++j) {
            if (!r_.mask.attends(b, h, i, x.position, j)) continue;
            if (!p_.gone.empty() && j >= p_.gone[bs].first && j < p_.gone[bs].second) continue;
            if (r_.maps[0].leaves_out(b, h, i, j) || r_.maps[1].leaves_out(b, h, i, j)) continue;
            scored_key<real> key = score(x, b, h, i, j);
            if (key.s == -infinity) continue;
            x.keys.push_back(key);
        }
        if (x.what != row<real>::certain) {
            for (const auto& key : x.keys) x.what = key.nan ? row<real>::nan : x.what;
            if (x.what == row<real>::nan) {  // which a row that has ended before does not see
                if (r_.n == normalizer::stick_breaking) x.what = row<real>::wild;
                return x;
            }
        }
        weigh_keys(x, h);
        if (r_.n == normalizer::stick_breaking) share_out(x);
        return x;
    }

    /// Says what is wrong with a row of outputs of type O, or nothing.
    template <class O>
    std::string judge(const row<real>& x, int64 b, const O* out) const
    {
        if (x.what == row<real>::wild) return "";
        for (int64 c = 0; c < p_.value_dim; ++c) {
            const auto got = static_cast<real>(number(out[c]));
            if (x.what == row<real>::nan) {
                if (got == got)
                    return "channel " + std::to_string(c) + " is " + shown(static_cast<double>(got)) +
                           ", a score is NaN";
                continue;
            }
            const std::string wrong = judge_channel<O>(x, b, c, got);
            if (!wrong.empty()) return wrong;
        }
        return "";
    }

    /// The same for its statistics.
    std::string judge_statistics(const row<real>& x, T shift, T mass, T lse) const
    {
        if (x.what != row<real>::certain) return "";
        const real l = x.mass + x.extra;
        const real floor = (static_cast<real>(x.keys.size()) + 2) * 8 * smallest_step<T>;
        if (!has_mass()) return "";
        if (l == 0) {
            if (lse == -std::numeric_limits<T>::infinity()) return "";
            return "lse of an empty row is " + shown(static_cast<double>(lse));
        }
        if (x.den > floor * 1e9) {
            const real want = std::log(l) + x.m;
            const real error = 2 * u * (x.den_error / x.den + std::fabs(want) + 4) + 2 * floor / x.den;
            if (!(std::fabs(static_cast<real>(lse) - want) <= error))
                return "lse " + shown(static_cast<double>(lse)) + ", expected " + shown(static_cast<double>(want));
        }
        if (x.keys.empty() && mass != 0) return "mass of an empty row is " + shown(static_cast<double>(mass));
        if (x.mass > floor * 1e9 && std::fabs(x.m) < 1e4 && std::fabs(static_cast<double>(shift)) < 1e4) {
            const real got = std::log(static_cast<real>(mass)) + static_cast<real>(shift) * std::log(real(2));
            const real want = std::log(x.mass) + x.m;
            const real error = 2 * u * (x.den_error / x.mass + 4) + 2 * floor / x.mass + 4 * u;
            if (!(std::fabs(got - want) <= error))
                return "ln mass " + shown(static_cast<double>(got)) + ", expected " + shown(static_cast<double>(want));
        }
        return "";
    }

    bool has_mass() const { return r_.n != normalizer::sigmoid && r_.n != normalizer::stick_breaking; }
    const problem& of() const { return p_; }
    real scale() const { return static_cast<real>(static_cast<T>(r_.scale)); }

    /// Weight and mass of a score, and their slopes, times e^-m.
    struct four {
        real w, u, dw, du;
    };
    four terms(real s, real m) const
    {
        const auto exp1 = [&] { return s > 1 ? std::exp(s - m) - std::exp(-m) : std::exp(-m) * std::expm1(s); };
        switch (r_.n) {
        case normalizer::softmax:
        case normalizer::softmax1:
        case normalizer::sink: {
            const real e = std::exp(s - m);
            return {e, e, e, e};
        }
        case normalizer::softpick: {
            const real t = exp1(), e = std::exp(s - m);
            return {s > 0 ? t : 0, std::fabs(t), s > 0 ? e : 0, s > 0 ? e : s < 0 ? -e : 0};
        }
        case normalizer::sigmoid: {
            const real x = s + static_cast<real>(static_cast<T>(r_.parameter)), z = std::exp(-std::fabs(x)),
                       p = 1 / (1 + z);
            return {x < 0 ? z * p : p, 0, z * p * p, 0};
        }
        case normalizer::stick_breaking: {
            const real z = std::exp(-std::fabs(s)), p = 1 / (1 + z), w = s < 0 ? z * p : p;
            return {w, std::max<real>(s, 0) + std::log1p(z), z * p * p, w};
        }
        case normalizer::relu1: return {s > 0 ? s : 0, 1, real(s > 0 ? 1 : 0), 0};
        case normalizer::relu2: return {s > 0 ? s * s : 0, 1, s > 0 ? 2 * s : 0, 0};
        }
        return {};
    }

    /// dT/ds of one map, and its value.
    real map(const map_step<T>& step, real s, int64 b, int64 h, int64 i, int64 position, int64 j, real& slope) const
    {
        slope = 1;
        switch (step.what) {
        case map_step<T>::softcap: {
            const auto cap = static_cast<real>(static_cast<T>(step.cap));
            const real t = std::tanh(s / cap), z = std::exp(-2 * std::fabs(s / cap));
            slope = 4 * z / ((1 + z) * (1 + z));
            return cap * t;
        }
        case map_step<T>::alibi:
            return s + static_cast<real>(step.slopes[h]) * static_cast<real>(wide{j} - wide{position});
        case map_step<T>::bias: return s + static_cast<real>(step.table.at(b, h, i, j));
        case map_step<T>::decay: {
            const int64 own = std::max<int64>(std::min(position, step.table.size[3] - 1), 0);
            return s + (static_cast<real>(step.table.at(b, h, 0, own)) - static_cast<real>(step.table.at(b, h, 0, j)));
        }
        case map_step<T>::log_length: {
            const real n = position < 0 ? 1 : static_cast<real>(wide{position} + 1);
            slope = std::max(static_cast<real>(step.slopes[h]) * std::log(n) + static_cast<real>(step.offset),
                             static_cast<real>(step.least));
            return s == -infinity ? s : s * slope;
        }
        default: return s;
        }
    }

private:
    scored_key<real> score(row<real>& x, int64 b, int64 h, int64 i, int64 j) const
    {
        const auto bs = static_cast<std::size_t>(b);
        const double *a = p_.q_row(bs, h, i), *k = p_.k_row(bs, x.kv_head, j);
        scored_key<real> key{j, 0, 0};
        real sum = 0, largest_k = 1;
        bool exact = !scaled_rows_;
        const auto is_number = [](real y) { return static_cast<real>(static_cast<T>(y)) == y; };
        for (int64 c = 0; c < p_.key_dim; ++c) {
            const real qs = scale() * static_cast<real>(a[c]), product = qs * static_cast<real>(k[c]);
            key.scaled += product;
            sum += std::fabs(product);
            if (std::isfinite(k[c])) largest_k = std::max(largest_k, static_cast<real>(std::fabs(k[c])));
            exact = exact && is_number(qs) && is_number(key.scaled);
            if (product != product || std::fabs(qs) > overflow<T>) x.what = row<real>::wild;
            if (a[c] != a[c] || k[c] != k[c]) key.nan = true;
            else if (!std::isfinite(a[c]) || !std::isfinite(k[c])) x.what = row<real>::wild;
        }
        // Infinities that meet may or may not be NaN on the way: only a NaN that was given is one for sure.
        if (!(sum < overflow<T>)) x.what = row<real>::wild;
        // Below the normal numbers a product loses what is smaller than a step, and so does a query times the scale,
        // whose loss is then multiplied by k.
        const real lost =
            static_cast<real>(p_.key_dim + 2) * smallest_step<T> / u * largest_k * (scaled_rows_ ? 64 : 1);
        key.scaled_error = exact ? 0 : static_cast<real>(p_.key_dim + 4) * sum + lost;
        key.s = key.scaled;
        key.error = key.scaled_error;
        for (const map_step<T>& step : r_.maps) {
            if (step.what == map_step<T>::none) continue;
            real slope = 1, low = 1, high = 1;
            const real before = key.s, d = 2 * u * key.error;
            key.s = map(step, before, b, h, i, x.position, j, slope);
            (void)map(step, before - d, b, h, i, x.position, j, low);
            (void)map(step, before + d, b, h, i, x.position, j, high);
            if (before == -infinity) {  // of a bias; behind it a softcap makes it a number again
                key.error = key.s == -infinity ? 0 : 6 * std::fabs(key.s);
                continue;
            }
            const real added = std::fabs(key.s - before);
            key.error = std::max({slope, low, high}) * (key.error + std::fabs(before)) + 6 * std::fabs(key.s) +
                        (step.what == map_step<T>::softcap ? 0 : added) +
                        (step.what == map_step<T>::softcap ? 1 + static_cast<real>(step.cap) : 1) * smallest_step<T> /
                            u;  // s / cap may be below the normal numbers
            if (step.what == map_step<T>::bias && !(std::fabs(key.s) <= overflow<T>)&&key.s != -infinity)
                x.what = row<real>::wild;
        }
        if (key.nan) key.s = std::numeric_limits<real>::quiet_NaN();
        if (key.s != key.s) x.what = row<real>::wild;  // weigh() tells which
        return key;
    }

    void weigh_keys(row<real>& x, int64 h) const
    {
        real top = -infinity;
        for (const auto& key : x.keys) top = std::max(top, key.s);
        real m = top;
        if (r_.n == normalizer::softpick) m = std::max<real>(m, 0);
        const real z = r_.log_offset(h);
        m = std::max(m, z);
        if (r_.n == normalizer::sigmoid || r_.n == normalizer::relu1 || r_.n == normalizer::relu2 ||
            r_.n == normalizer::stick_breaking || m == -infinity)
            m = 0;
        x.m = m;
        x.extra = z == -infinity ? 0 : std::exp(z - m);
        x.den_error = z == -infinity ? 0 : x.extra * (4 + std::fabs(z));
        for (auto& key : x.keys) {
            if (r_.n == normalizer::sigmoid && r_.parameter != 0)  // the sum of both is rounded
                key.error += std::fabs(key.s) + std::fabs(static_cast<real>(r_.parameter));
            const real d = 2 * u * key.error;
            const four here = terms(key.s, m), low = terms(key.s - d, m), high = terms(key.s + d, m);
            key.w = here.w;
            key.u = here.u;
            key.w_slope = std::max({std::fabs(here.dw), std::fabs(low.dw), std::fabs(high.dw)});
            key.u_slope = std::max({std::fabs(here.du), std::fabs(low.du), std::fabs(high.du)});
            x.mass += key.u;
            x.den_error += key.u_slope * key.error + 4 * key.u;
            x.weightless = x.weightless && high.w == 0;
            // Beyond the first order: an exponential whose exponent is uncertain.
            if (d > 0.2 && r_.n != normalizer::relu1 && r_.n != normalizer::relu2 &&
                !(key.s + 2 * d < top - 100 || (r_.n == normalizer::softpick && key.s + 2 * d < -100)))
                x.what = row<real>::wild;
            if (!(key.w * 2 < overflow<T>) || std::fabs(key.s) > overflow<T>) x.what = row<real>::wild;
        }
        x.den_error += mass_depth(x) * x.mass;
        x.den = has_mass() ? x.mass + x.extra : 1;
        if (!has_mass()) x.den_error = 0;
        else if (2 * u * x.den_error > real(0.2) * x.den) x.what = row<real>::wild;  // rounding may make it any number
    }
    /// Weights of keys that take their shares from the newest on: an error of a score is one of its own weight and, by
    /// its mass, of the weights of all older keys.
    void share_out(row<real>& x) const
    {
        real newer = 0, error = 0;  // the sum of the masses of newer keys
        for (std::size_t i = x.keys.size(); i-- > 0;) {
            scored_key<real>& key = x.keys[i];
            const four here = terms(key.s, 0), high = terms(key.s + 2 * u * key.error, 0);
            const real own = key.error;
            key.w = key.w_slope = here.w * std::exp(-newer);
            key.u = key.u_slope = 0;
            key.error = own + error + (mass_depth(x) + 4) * (1 + newer);
            if (2 * u * key.error > real(0.2) && newer < 200) x.what = row<real>::wild;
            newer += here.u;
            error += high.w * own + 4 * here.u;
        }
        x.mass = 0;
        x.den = 1;
        x.den_error = 0;
    }
    real mass_depth(const row<real>& x) const
    {
        return std::min<real>(static_cast<real>(x.keys.size()), 40) + static_cast<real>(x.keys.size()) / 512 + 4;
    }

    template <class O>
    std::string judge_channel(const row<real>& x, int64 b, int64 c, real got) const
    {
        const auto bs = static_cast<std::size_t>(b);
        real o = 0, values = 0, largest = 0;
        for (const auto& key : x.keys) {
            const auto v = static_cast<real>(p_.v_row(bs, x.kv_head, key.key)[c]);
            if (std::isfinite(v)) {
                if (key.w != 0) o += key.w * v, values += key.w * std::fabs(v);
                largest = std::max(largest, std::fabs(v));
                continue;
            }
            // A weight that is 0 selects; one that is 0 only after rounding may.
            const real high = terms(key.s + 2 * u * key.error, x.m).w,
                       limit = std::is_same_v<T, double> ? 1e-290 : 1e-30;
            if (high == 0 || is_surely_left_out(x, key)) continue;
            if (key.w < limit || terms(key.s - 2 * u * key.error, x.m).w == 0 || x.den == 0) return "";
            return std::isfinite(got) ? text(c, got, v) : "";
        }
        if (x.den == 0 || (x.weightless && x.keys.size() > 0) || x.keys.empty()) {
            if (got == 0 && !std::signbit(got)) return "";
            return text(c, got, 0);
        }
        o /= x.den;
        values /= x.den;
        if (!(largest < overflow<T> / 1e4) || std::fabs(o) * 1.01 > overflow<O>) return "";
        real by_scores = 0, by_terms = 0;
        for (const auto& key : x.keys) {
            const auto v = static_cast<real>(p_.v_row(bs, x.kv_head, key.key)[c]);
            if (!std::isfinite(v)) continue;
            by_scores += (key.w_slope * std::fabs(v) + key.u_slope * std::fabs(o)) * key.error;
            by_terms += 4 * std::fabs(key.w * v - key.u * o);
        }
        const auto n = static_cast<real>(x.keys.size());
        const real depth = std::min<real>(n, 512) + n / 512 + 6;
        const real a =
            (by_scores + by_terms) / x.den + depth * values + (mass_depth(x) + 2) * std::fabs(o) * x.mass / x.den +
            (has_mass() ? x.extra / x.den * (6 + std::fabs(x.extra > 0 ? std::log(x.extra) + x.m : 0)) * std::fabs(o)
                        : 0);
        const real step = smallest_step<T>;
        // A weight times a scale may be below the normal numbers before it meets what is stored, of up to 448.
        const real stored = scaled_rows_ ? 448 : 1;
        const real floor = (n + 1) * step * (2 + 8 * (stored + largest + std::fabs(o)) / x.den) + smallest_step<O>;
        const real allowed = 2 * u * a + (unit_of<O> + u) * std::fabs(o) + floor;
        if (std::fabs(got - o) <= allowed) return "";
        if (std::fabs(o) + allowed > overflow<O>) return "";
        return text(c, got, o) + ", allowed " +
               std::to_string(static_cast<double>(allowed / std::max<real>(std::fabs(o), 1e-300))) + " of it";
    }

    /// Whether a key weighs 0 for sure: its term is below the smallest step in its own key tile, or a factor is that
    /// its tile meets when tiles are folded in order or the extra mass is added.
    bool is_surely_left_out(const row<real>& x, const scored_key<real>& key) const
    {
        if (r_.n == normalizer::sigmoid || r_.n == normalizer::relu1 || r_.n == normalizer::relu2 ||
            r_.n == normalizer::stick_breaking)
            return false;
        const real zero = std::is_same_v<T, double> ? 760 : 112;  // e^-112 < 2^-160
        const real lowest = r_.n == normalizer::softpick ? 0 : -infinity;
        const int64 own = key.key / 512;
        real run = lowest;
        for (std::size_t i = 0; i < x.keys.size();) {
            const int64 tile = x.keys[i].key / 512;
            real low = lowest, high = lowest;  // of the tile's largest score
            for (; i < x.keys.size() && x.keys[i].key / 512 == tile; ++i) {
                low = std::max(low, x.keys[i].s - 2 * u * x.keys[i].error);
                high = std::max(high, x.keys[i].s + 2 * u * x.keys[i].error);
            }
            if (tile == own && (key.s + 2 * u * key.error < low - zero || high < run - zero)) return true;
            if (tile > own && key_run_ < low - zero) return true;
            run = std::max(run, low);
            if (tile >= own) key_run_ = tile == own ? std::max(run, high) : std::max(key_run_, high);
        }
        const real extra = r_.log_offset(0);
        return r_.n != normalizer::sink && key_run_ < extra - zero;
    }

    static std::string text(int64 c, real got, real expected)
    {
        char t[160];
        std::snprintf(t, sizeof(t), "channel %lld is %.17Lg, expected %.17Lg", static_cast<long long>(c),
                      static_cast<long double>(got), static_cast<long double>(expected));
        return t;
    }

    const recipe<T>& r_;
    const problem& p_;
    const bool scaled_rows_;
    mutable real key_run_ = 0;  // the largest that the shift of a key's partial may be
};

}  // namespace fuzz
