// SPDX-License-Identifier: MIT
// Attention once more, from the formulas alone, in plain loops of double:
//
//     s_ij = maps(scale (q_i . k_j))     p_ij = w(s_ij) / (c_i + sum_j u(s_ij))     o_i = sum_j p_ij v_j
//
// and the gradients of it. Nothing here includes heed: heed's own reference asks the same policies as its kernels, so a
// policy that is wrong is wrong in both. Beside each number stands how far a computation in float may be from it at
// K = 1, by the error analysis of gate.hpp; four times that passes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <vector>

namespace plain {

using int64 = std::int64_t;

inline constexpr double unit = 0x1p-24;  // half of float's last bit

/// A number, and its error at K = 1.
struct judged {
    double value = 0, error = 0;

    bool holds(double got) const
    {
        return std::fabs(got - value) <= 4 * error + unit * std::fabs(value) + 1e-37;  // false of NaN
    }
};

/// A sum of numbers that are themselves off.
struct sum_of {
    double value = 0, error = 0, size = 0;
    int64 count = 0;

    void add(double x, double x_error)
    {
        value += x;
        error += x_error;
        size += std::fabs(x);
        ++count;
    }
    judged result() const { return {value, error + unit * std::sqrt(static_cast<double>(count)) * size}; }
};

/// Where a score stands. Positions count the tokens of the sequence, rows those of the call.
struct place {
    int64 batch, head, row, position, key;
};

enum class family { softmax, softpick, sigmoid, relu };

/// What is computed. A function that is empty says nothing.
struct definition {
    family weights = family::softmax;
    int power = 1;                            // of relu
    double bias = 0;                          // of sigmoid
    std::function<double(int64 head)> log_c;  // of the extra mass
    double scale = 1;
    double cap = 0;                             // of scores, 0: none; then
    std::function<double(int64 head)> tilt;     // ALiBi; then
    std::function<double(const place&)> added;  // a bias
    std::function<bool(const place&)> attends;
    std::function<int64(int64 batch)> position_of_row_0;
};

/// What it is computed of. Tokens [0, tokens) of each sequence, as far as `holds` says that they exist.
struct problem {
    int64 batch = 1, heads = 1, kv_heads = 1, key_dim = 1, value_dim = 1, tokens = 0;
    std::function<int64(int64 batch)> rows;
    std::function<double(int64 batch, int64 head, int64 token, int64 channel)> q, k, v, dout;
    std::function<bool(int64 batch, int64 token)> holds;
    std::function<double(int64 batch, int64 head, int64 row)> dlse;  // the gradient in log den
};

struct terms {
    double w, u, dw, du;
};

inline terms terms_of(const definition& def, double s)
{
    if (def.weights == family::softmax) {
        const double e = std::exp(s);
        return {e, e, e, e};
    }
    if (def.weights == family::softpick) {  // |e^s - 1|, of which what is above 0 weighs
        const double e = std::exp(s), t = std::expm1(s);
        if (s > 0) return {t, t, e, e};
        return {0, -t, 0, s < 0 ? -e : 0};
    }
    if (def.weights == family::sigmoid) {
        const double x = s + def.bias, z = std::exp(-std::fabs(x)), p = (x < 0 ? z : 1) / (1 + z);
        return {p, 0, z / ((1 + z) * (1 + z)), 0};
    }
    if (s <= 0) return {0, 1, 0, 0};
    return {std::pow(s, def.power), 1, def.power * std::pow(s, def.power - 1), 0};
}

/// One attended key of a row.
struct weighed {
    place at;
    double score, score_error;      // after the maps
    double cap_slope, slope_error;  // of the score cap
    terms t;
    double dw_most, du_most;    // the largest |w'| and |u'| within four errors of the score,
    double dw_error, du_error;  // and how far they are from w' and u'
    judged p;
    std::vector<double> k, v;  // its rows
};

/// A query row.
struct row {
    std::vector<double> q;
    std::vector<weighed> keys;
    std::vector<judged> out;
    double mass = 0, c = 0, den = 0;
    judged lse;
    double den_error = 0;  // relative
};

/// Channels of a token.
template <class F>
std::vector<double> channels(const F& f, int64 batch, int64 head, int64 token, int64 dim)
{
    std::vector<double> x(static_cast<std::size_t>(dim));
    for (int64 c = 0; c < dim; ++c) x[static_cast<std::size_t>(c)] = f(batch, head, token, c);
    return x;
}

/// a . b, and the sum of |a_c b_c|.
struct product {
    double value = 0, size = 0;

    product(const std::vector<double>& a, const std::vector<double>& b)
    {
        for (std::size_t c = 0; c < a.size(); ++c) {
            value += a[c] * b[c];
            size += std::fabs(a[c] * b[c]);
        }
    }
};

inline weighed score_of(const definition& def, const problem& of, const place& at, const std::vector<double>& q)
{
    weighed w{};
    w.at = at;
    const int64 kv_head = at.head / (of.heads / of.kv_heads);
    w.k = channels(of.k, at.batch, kv_head, at.key, of.key_dim);
    w.v = channels(of.v, at.batch, kv_head, at.key, of.value_dim);
    const product dot(q, w.k);
    double s = def.scale * dot.value;
    double error = unit * std::sqrt(static_cast<double>(of.key_dim)) * std::fabs(def.scale) * dot.size;
    w.cap_slope = 1;
    if (def.cap > 0) {
        const auto slope = [&](double x) { return 1 - std::pow(std::tanh(x / def.cap), 2); };
        w.cap_slope = slope(s);
        for (const double x : {s - 4 * error, s + 4 * error})
            w.slope_error = std::max(w.slope_error, std::fabs(slope(x) - w.cap_slope));
        error *= w.cap_slope + w.slope_error;
        s = def.cap * std::tanh(s / def.cap);
    }
    error += 2 * unit * std::fabs(s);
    if (def.tilt) {
        const double tilt = def.tilt(at.head) * static_cast<double>(at.key - at.position);
        s += tilt;
        error += 2 * unit * std::fabs(tilt) + unit * std::fabs(s);
    }
    if (def.added) {
        const double added = def.added(at);
        s += added;
        error += unit * std::fabs(added) + unit * std::fabs(s);
    }
    if (def.weights == family::sigmoid) error += unit * std::fabs(s + def.bias);
    w.score = s;
    w.score_error = error + 2 * unit;  // the exponential's own
    w.t = terms_of(def, s);
    w.dw_most = std::fabs(w.t.dw);
    w.du_most = std::fabs(w.t.du);
    for (const double x : {s - 4 * w.score_error, s + 4 * w.score_error}) {
        const terms t = terms_of(def, x);
        w.dw_most = std::max(w.dw_most, std::fabs(t.dw));
        w.du_most = std::max(w.du_most, std::fabs(t.du));
        w.dw_error = std::max(w.dw_error, std::fabs(t.dw - w.t.dw));
        w.du_error = std::max(w.du_error, std::fabs(t.du - w.t.du));
    }
    w.dw_error += 2 * unit * w.dw_most;
    w.du_error += 2 * unit * w.du_most;
    return w;
}

inline row row_of(const definition& def, const problem& of, int64 batch, int64 head, int64 i)
{
    row r;
    r.q = channels(of.q, batch, head, i, of.key_dim);
    const int64 position = def.position_of_row_0(batch) + i;
    for (int64 j = 0; j < of.tokens; ++j) {
        const place at{batch, head, i, position, j};
        if (of.holds && !of.holds(batch, j)) continue;
        if (def.attends && !def.attends(at)) continue;
        if (def.added && def.added(at) == -INFINITY) continue;
        r.keys.push_back(score_of(def, of, at, r.q));
    }
    const auto n = static_cast<double>(r.keys.size());
    const double depth = std::sqrt(std::min(n, 512.) + n / 512);
    double by_scores = 0;
    for (const weighed& w : r.keys) {
        r.mass += w.t.u;
        by_scores += w.du_most * w.score_error;
    }
    double c_error = 0;
    if (def.log_c) {
        r.c = std::exp(def.log_c(head));
        if (r.c > 0) c_error = unit * (2 + std::fabs(def.log_c(head))) * r.c;
    }
    r.den = def.weights == family::sigmoid ? 1 : r.c + r.mass;
    r.out.resize(static_cast<std::size_t>(of.value_dim));
    r.lse.value = std::log(r.den);
    if (!(r.den > 0)) return r;
    r.den_error = (by_scores + c_error) / r.den + unit * depth;
    r.lse.error = r.den_error + 2 * unit + unit * std::fabs(r.lse.value);
    for (weighed& w : r.keys) {
        w.p.value = w.t.w / r.den;
        w.p.error = w.dw_most * w.score_error / r.den + w.p.value * (r.den_error + 2 * unit);
    }
    for (std::size_t x = 0; x < r.out.size(); ++x) {
        judged& o = r.out[x];
        double values = 0;
        for (const weighed& w : r.keys) {
            o.value += w.p.value * w.v[x];
            values += w.p.value * std::fabs(w.v[x]);
        }
        for (const weighed& w : r.keys) {
            const double within = std::fabs(w.t.dw * w.v[x] - w.t.du * o.value);
            const double most = within + w.dw_error * std::fabs(w.v[x]) + w.du_error * std::fabs(o.value);
            o.error += most * w.score_error / r.den;
        }
        o.error += unit * depth * values + c_error / r.den * std::fabs(o.value);
    }
    return r;
}

/// Gradients, [batch][head][token][channel] and so on.
struct gradients {
    std::vector<sum_of> dq, dk, dv, dbias, dlog_c, dtilt;
};

inline gradients gradients_of(const definition& def, const problem& of)
{
    gradients g;
    const auto room = [&](int64 heads, int64 tokens, int64 dim) {
        return std::vector<sum_of>(static_cast<std::size_t>(of.batch * heads * tokens * dim));
    };
    const int64 rows = of.batch > 0 ? of.rows(0) : 0;  // the same in every sequence
    g.dq = room(of.heads, rows, of.key_dim);
    g.dk = room(of.kv_heads, of.tokens, of.key_dim);
    g.dv = room(of.kv_heads, of.tokens, of.value_dim);
    g.dbias = room(of.heads, rows, of.tokens);
    g.dlog_c.resize(static_cast<std::size_t>(of.heads));
    g.dtilt.resize(static_cast<std::size_t>(of.heads));
    const auto root = std::sqrt(static_cast<double>(of.value_dim));

    for (int64 b = 0; b < of.batch; ++b)
        for (int64 h = 0; h < of.heads; ++h)
            for (int64 i = 0; i < rows; ++i) {
                const row r = row_of(def, of, b, h, i);
                if (!(r.den > 0)) continue;
                const int64 line = (b * of.heads + h) * rows + i, kv_head = h / (of.heads / of.kv_heads);
                const std::vector<double> dout = channels(of.dout, b, h, i, of.value_dim);
                double d = 0, d_error = 0;
                for (std::size_t x = 0; x < dout.size(); ++x) {
                    const judged& o = r.out[x];
                    d += dout[x] * o.value;
                    d_error += std::fabs(dout[x]) * (o.error + unit * (1 + root) * std::fabs(o.value));
                }
                if (of.dlse) {
                    d -= of.dlse(b, h, i);
                    d_error += unit * std::fabs(d);
                }
                if (def.log_c && r.c > 0)
                    g.dlog_c[static_cast<std::size_t>(h)].add(
                        -d * r.c / r.den, r.c / r.den * (d_error + std::fabs(d) * (r.den_error + 4 * unit)));
                for (const weighed& w : r.keys) {
                    const product dp(dout, w.v);
                    const double ds = (w.t.dw * dp.value - w.t.du * d) / r.den;
                    const double parts = (std::fabs(w.t.dw * dp.value) + std::fabs(w.t.du * d)) / r.den;
                    const double error = (w.dw_error * std::fabs(dp.value) + w.dw_most * unit * root * dp.size +
                                          w.du_error * std::fabs(d) + w.du_most * d_error) /
                                             r.den +
                                         parts * (r.den_error + 3 * unit);
                    const double ds0 = ds * w.cap_slope;
                    const double error0 =
                        error * w.cap_slope + (std::fabs(ds) + error) * (w.slope_error + 3 * unit * w.cap_slope);
                    const auto key = static_cast<double>(w.at.key - w.at.position);
                    g.dbias[static_cast<std::size_t>(line * of.tokens + w.at.key)].add(ds, error);
                    g.dtilt[static_cast<std::size_t>(h)].add(ds * key, error * std::fabs(key));
                    const int64 kv_line = (b * of.kv_heads + kv_head) * of.tokens + w.at.key;
                    sum_of* const dq = g.dq.data() + line * of.key_dim;
                    sum_of* const dk = g.dk.data() + kv_line * of.key_dim;
                    sum_of* const dv = g.dv.data() + kv_line * of.value_dim;
                    for (std::size_t x = 0; x < r.q.size(); ++x) {
                        const double q = def.scale * r.q[x], k = def.scale * w.k[x];
                        dq[x].add(ds0 * k, error0 * std::fabs(k));
                        dk[x].add(ds0 * q, error0 * std::fabs(q));
                    }
                    for (std::size_t x = 0; x < dout.size(); ++x)
                        dv[x].add(w.p.value * dout[x], w.p.error * std::fabs(dout[x]));
                }
            }
    return g;
}

}  // namespace plain
