// SPDX-License-Identifier: MIT
// Tensors for the compute op, and what the textbook makes of them: in double, over the numbers that k and v hold.
#pragma once

#include "../../examples/clients/compute_op.hpp"

#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <cmath>

namespace test {

inline std::size_t as_size(int64 n) { return static_cast<std::size_t>(n); }

struct op_sizes {
    int64 dim = 64, value_dim = 64, queries = 5, keys = 40, heads = 4, kv_heads = 2, batch = 2;
    int64 mask_heads = 0, mask_batch = 1;  // of the mask; 0 heads: no mask
    bool sinks = false;
    float softcap = 0, max_bias = 0;
    bool interleaved = false;              // tokens outside, heads inside: permuted views
    bool f32_mask = false, zeros = false;  // of the mask: its type, and whether it adds nothing
};

template <class E, class = void>
inline constexpr bool has_offset = false;
template <class E>
inline constexpr bool has_offset<E, std::void_t<decltype(E::m)>> = true;

/// A row of numbers as elements of E, rounded somehow; of blocks of four or five bits but q4_0, other numbers of that
/// size.
template <class E>
void narrow(const float* x, int64 dim, E* to)
{
    constexpr int64 block = heed::channels_of<E>;
    if constexpr (block > 1 && !std::is_same_v<E, heed::q8_0> && !std::is_same_v<E, heed::q4_0>) {
        for (int64 b = 0; b < dim / block; ++b) {
            auto* const byte = reinterpret_cast<unsigned char*>(to + b);
            for (std::size_t i = 0; i < sizeof(E); ++i)
                byte[i] = static_cast<unsigned char>(static_cast<int>(std::fabs(x[b * block + int64(i)]) * 1e4f));
            const bool nonlinear = std::is_same_v<E, heed::iq4_nl>;
            to[b].d = heed::f16(nonlinear ? 0.02f : 0.1f);
            if constexpr (has_offset<E>) to[b].m = heed::f16(-1.5f);
        }
        return;
    }
    for (int64 b = 0; b < dim / block; ++b, x += block) {
        if constexpr (block == 1) {
            to[b] = static_cast<E>(*x);
        } else {
            float largest = 0;
            for (int64 c = 0; c < block; ++c) largest = std::max(largest, std::fabs(x[c]));
            const float steps = std::is_same_v<E, heed::q8_0> ? 127.f : 7.f;
            to[b] = {};
            to[b].d = heed::f16(largest / steps);
            for (int64 c = 0; c < block; ++c) {
                const int n = static_cast<int>(std::lround(std::clamp(x[c] / float(to[b].d), -steps, steps)));
                if constexpr (std::is_same_v<E, heed::q8_0>) to[b].q[c] = static_cast<std::int8_t>(n);
                else if constexpr (std::is_same_v<E, heed::q4_0>)
                    to[b].q[c % 16] = static_cast<std::uint8_t>(to[b].q[c % 16] | (n + 8) << (c < 16 ? 0 : 4));
            }
        }
    }
}

/// A row that poisons whoever reads it.
template <class E>
void poison(E* row, int64 dim)
{
    for (int64 b = 0; b < dim / heed::channels_of<E>; ++b) std::memset(row + b, 0x7f, sizeof(E));
    if constexpr (std::is_same_v<E, float>) std::fill_n(row, dim, std::numeric_limits<float>::quiet_NaN());
}

/// [dim, tokens, heads, batch] in one vector; rows are `gap` elements longer than they need.
template <class E>
compute_op::tensor laid_out(std::vector<E>& data, compute_op::type type, int64 dim, int64 tokens, int64 heads,
                            int64 batch, bool interleaved, int64 gap = 0)
{
    const auto row = as_size(dim / heed::channels_of<E> + gap) * sizeof(E);
    data.resize(row / sizeof(E) * as_size(tokens * heads * batch));
    compute_op::tensor t;
    t.data = data.data();
    t.type = type;
    const int64 ne[] = {dim, tokens, heads, batch};
    const std::size_t nb[] = {sizeof(E), interleaved ? row * as_size(heads) : row,
                              interleaved ? row : row * as_size(tokens), row * as_size(tokens * heads)};
    std::copy_n(ne, 4, t.ne);
    std::copy_n(nb, 4, t.nb);
    return t;
}

template <class E>
E* row_of(const compute_op::tensor& t, int64 i1, int64 i2, int64 i3)
{
    return reinterpret_cast<E*>(static_cast<char*>(t.data) + as_size(i1) * t.nb[1] + as_size(i2) * t.nb[2] +
                                as_size(i3) * t.nb[3]);
}

/// One op. With a mask: keys after the query and the last three are left out, the rest has the distance; query 1
/// attends nothing; and the keys that nobody attends are poison.
template <class E, class V = E>
struct op_case {
    op_sizes n;
    compute_op::tensor mask, sinks;
    compute_op::tensors t;
    compute_op::parameters p;
    std::vector<float> q_data, out_data, sink_data;
    std::vector<E> k_data;
    std::vector<V> v_data;
    std::vector<heed::f16> mask_data;
    std::vector<float> mask_floats;

    op_case(const op_sizes& sizes, compute_op::type type) : op_case(sizes, type, type) {}
    op_case(const op_sizes& sizes, compute_op::type type, compute_op::type v_type) : n(sizes)
    {
        t.q = laid_out(q_data, compute_op::type::f32, n.dim, n.queries, n.heads, n.batch, n.interleaved);
        t.k = laid_out(k_data, type, n.dim, n.keys, n.kv_heads, n.batch, n.interleaved);
        t.v = laid_out(v_data, v_type, n.value_dim, n.keys, n.kv_heads, n.batch, n.interleaved, 2);
        t.out = laid_out(out_data, compute_op::type::f32, n.value_dim, n.heads, n.queries, n.batch, false, 3);
        std::fill(out_data.begin(), out_data.end(), canary);
        std::mt19937_64 random(1);
        std::normal_distribution<float> normal;
        for (float& x : q_data) x = 2 * normal(random);
        fill<E>(t.k, random);
        fill<V>(t.v, random);
        p = {1 / std::sqrt(static_cast<float>(n.dim)), n.max_bias, n.softcap};
        if (n.mask_heads > 0 && n.f32_mask) make_mask(mask_floats, compute_op::type::f32);
        else if (n.mask_heads > 0) make_mask(mask_data, compute_op::type::f16);
        if (n.sinks) {
            sinks = laid_out(sink_data, compute_op::type::f32, n.heads, 1, 1, 1, false);
            for (int64 h = 0; h < n.heads; ++h) sink_data[as_size(h)] = static_cast<float>(h) - 1;
            t.sinks = &sinks;
        }
    }
    op_case(const op_case&) = delete;

    /// [batch][queries][heads][value_dim]
    std::vector<double> textbook() const
    {
        std::vector<double> out(as_size(n.batch * n.queries * n.heads * n.value_dim));
        for (int64 b = 0; b < n.batch; ++b)
            for (int64 i = 0; i < n.queries; ++i)
                for (int64 h = 0; h < n.heads; ++h)
                    textbook_row(b, i, h, out.data() + ((b * n.queries + i) * n.heads + h) * n.value_dim);
        return out;
    }
    double result(std::size_t i) const
    {
        const auto row = static_cast<int64>(i) / n.value_dim;
        return double{out_data[as_size(row * (n.value_dim + 3) + static_cast<int64>(i) % n.value_dim)]};
    }
    bool gaps_untouched() const
    {
        for (std::size_t i = 0; i < out_data.size(); ++i)
            if (static_cast<int64>(i) % (n.value_dim + 3) >= n.value_dim && !same(out_data[i])) return false;
        return true;
    }
    bool out_untouched() const
    {
        return std::all_of(out_data.begin(), out_data.end(), [](float x) { return same(x); });
    }

    static constexpr float canary = 1234.5f;

private:
    static bool same(float x) { return !(x < canary) && !(x > canary); }

    template <class Element>
    void fill(const compute_op::tensor& of, std::mt19937_64& random)
    {
        std::normal_distribution<float> normal;
        std::vector<float> x(as_size(of.ne[0]));
        for (int64 b = 0; b < n.batch; ++b)
            for (int64 h = 0; h < n.kv_heads; ++h)
                for (int64 j = 0; j < n.keys; ++j) {
                    for (float& e : x) e = normal(random);
                    Element* row = row_of<Element>(of, j, h, b);
                    if (n.mask_heads > 0 && j >= n.keys - 3) poison(row, of.ne[0]);
                    else narrow(x.data(), of.ne[0], row);
                }
    }
    template <class M>
    void make_mask(std::vector<M>& data, compute_op::type type)
    {
        mask = laid_out(data, type, n.keys, n.queries + 2, n.mask_heads, n.mask_batch, false);
        for (M& x : data) x = M(NAN);  // in the rows that nobody needs
        for (int64 b = 0; b < n.mask_batch; ++b)
            for (int64 h = 0; h < n.mask_heads; ++h)
                for (int64 i = 0; i < n.queries; ++i)
                    for (int64 j = 0; j < n.keys; ++j) {
                        const int64 distance = j - (n.keys - n.queries + i);
                        const bool out = distance > 0 || j >= n.keys - 3 || (i == 1 && n.queries > 1);
                        const float x = static_cast<float>(distance) / 4 - static_cast<float>(h + 2 * b);
                        row_of<M>(mask, i, h, b)[j] = M(out ? -INFINITY : n.zeros ? 0 : x);
                    }
        t.mask = &mask;
    }
    double slope(int64 h) const
    {
        const double whole = std::exp2(std::floor(std::log2(static_cast<double>(n.heads)))), bias = double{n.max_bias};
        if (n.max_bias <= 0) return 1;
        const auto head = static_cast<double>(h);
        return head < whole ? std::exp2(-bias / whole * (head + 1))
                            : std::exp2(-bias / 2 / whole * (2 * (head - whole) + 1));
    }
    double added(int64 b, int64 i, int64 h, int64 j) const
    {
        if (!t.mask) return 0;
        const int64 head = h % n.mask_heads, batch = b % n.mask_batch;
        return slope(h) * (n.f32_mask ? double{row_of<float>(mask, i, head, batch)[j]}
                                      : double{float(row_of<heed::f16>(mask, i, head, batch)[j])});
    }
    void textbook_row(int64 b, int64 i, int64 h, double* out) const
    {
        const int64 kv_head = h / (n.heads / n.kv_heads);
        const float* q = row_of<float>(t.q, i, h, b);
        std::vector<double> s(as_size(n.keys), -INFINITY);
        double sum = n.sinks ? std::exp(double{sink_data[as_size(h)]}) : 0;
        for (int64 j = 0; j < n.keys; ++j) {
            const double distance = added(b, i, h, j);
            if (distance < -1e30) continue;
            double dot = 0;
            for (int64 c = 0; c < n.dim; ++c)
                dot += double{q[c]} * double{float(heed::channel_of(row_of<E>(t.k, j, kv_head, b), c))};
            dot *= double{p.scale};
            if (n.softcap > 0) dot = double{n.softcap} * std::tanh(dot / double{n.softcap});
            sum += s[as_size(j)] = std::exp(dot + distance);
        }
        for (int64 j = 0; j < n.keys; ++j) {
            if (s[as_size(j)] < 0) continue;
            for (int64 c = 0; c < n.value_dim; ++c)
                out[c] += s[as_size(j)] / sum * double{float(heed::channel_of(row_of<V>(t.v, j, kv_head, b), c))};
        }
    }
};

}  // namespace test
