// SPDX-License-Identifier: MIT
// Keys and values in a quantised cache that append() has written, and what they stand for.
#pragma once

#include "../tensors.hpp"

#include <heed/append.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace oracle {

using heed::fp8_e4m3, heed::fp8_e5m2, heed::iq4_nl, heed::q4_0, heed::q4_1, heed::q5_0, heed::q5_1, heed::q8_0;
using test::int64;
using test::tensor;

template <class E>
inline constexpr bool is_fp8 = std::is_same_v<E, fp8_e4m3> || std::is_same_v<E, fp8_e5m2>;

enum class scales { none, of_tokens, of_channels, of_heads };

/// Keys and values in a cache of K and V that append() has written, with scales of these kinds.
template <class K, class V>
class stored {
public:
    stored(const test::problem<float>& p, scales of_keys, scales of_values)
        : k_(p.k.size), v_(p.v.size), k_scale_(p.k, of_keys), v_scale_(p.v, of_values), of_keys_(of_keys)
    {
        with_cache(k_.view(), v_.view(), k_scale_.view(p.k.size), v_scale_.view(p.v.size), [&](const auto& cache) {
            for (int64 b = 0; b < p.k.size.batch; ++b)
                heed::or_throw(heed::append(cache, b, 0, one(p.k, b), one(p.v, b)));
        });
    }

    template <class Def>
    tensor<float> attend(const Def& def, const tensor<float>& q) const
    {
        tensor<float> out({q.size.batch, q.size.heads, q.size.tokens, v_.size.dim}, -7);
        with_cache(k_.in(), v_.in(), k_scale_.in(k_.size), v_scale_.in(v_.size),
                   [&](const auto& cache) { heed::or_throw(heed::attend(def, q.in(), cache, out.view())); });
        return out;
    }
    /// What rows stand for, exactly.
    tensor<double> keys() const { return exact(k_, k_scale_); }
    tensor<double> values() const { return exact(v_, v_scale_); }
    /// Of two tokens of head 0.
    void swap_value_scales(int64 a, int64 b)
    {
        std::swap(v_scale_.numbers.view().row(0, 0, a)[0], v_scale_.numbers.view().row(0, 0, b)[0]);
    }

private:
    /// Scales of a tensor: chosen by append(), or the largest of the format in the largest of a channel or head.
    struct scales_of {
        scales kind;
        tensor<float> numbers;

        scales_of(const tensor<float>& x, scales of) : kind(of)
        {
            const heed::extents& e = x.size;
            if (of == scales::of_tokens) numbers = tensor<float>({e.batch, e.heads, e.tokens, 1});
            if (of == scales::of_channels) numbers = tensor<float>({1, e.heads, 1, e.dim});
            if (of == scales::of_heads) numbers = tensor<float>({1, e.heads, 1, 1});
            if (of != scales::of_channels && of != scales::of_heads) return;
            for (int64 b = 0; b < e.batch; ++b)
                for (int64 h = 0; h < e.heads; ++h)
                    for (int64 t = 0; t < e.tokens; ++t)
                        for (int64 c = 0; c < e.dim; ++c) {
                            float& most = numbers.view().row(0, h, 0)[of == scales::of_channels ? c : 0];
                            most = std::max(most, std::fabs(x.in().row(b, h, t)[c]));
                        }
            const float top = std::is_same_v<K, fp8_e4m3> ? 448 : std::is_same_v<K, fp8_e5m2> ? 57344 : 127;
            for (float& s : numbers.data) s = s > 0 ? s / top : 1;
        }
        template <class T>
        heed::view<T> at(T* data, const heed::extents& of) const
        {
            if (kind == scales::of_channels) return heed::bhsd(data, {1, of.heads, 1, of.dim});
            const heed::extents each{of.batch, of.heads, of.tokens, 1};
            return kind == scales::of_heads ? heed::view<T>{data, each, {0, 1, 0}} : heed::bhsd(data, each);
        }
        heed::view<float> view(const heed::extents& of) { return at(numbers.data.data(), of); }
        heed::view<const float> in(const heed::extents& of) const { return at(numbers.data.data(), of); }
    };

    template <class A, class B, class S, class F>
    void with_cache(heed::view<A> k, heed::view<B> v, heed::view<S> k_scale, heed::view<S> v_scale, F f) const
    {
        const heed::dense_kv rows{k, v};
        if constexpr (heed::channels_of < K >> 1) f(rows);
        else if constexpr (is_fp8<K>) f(heed::scaled_kv{rows, heed::per_token{k_scale}, heed::per_token{v_scale}});
        else if (of_keys_ == scales::of_channels)
            f(heed::scaled_kv{rows, heed::per_channel{k_scale}, heed::per_token{v_scale}});
        else f(heed::scaled_kv{rows, heed::per_token{k_scale}, heed::per_token{v_scale}});
    }
    static heed::view<const float> one(const tensor<float>& t, int64 b)
    {
        return {t.in().row(b, 0, 0), {1, t.size.heads, t.size.tokens, t.size.dim}, t.in().stride};
    }
    template <class E>
    static tensor<double> exact(const tensor<E>& rows, const scales_of& by)
    {
        tensor<double> x(rows.size);
        const heed::view<const float> scale = by.in(rows.size);
        for (int64 b = 0; b < rows.size.batch; ++b)
            for (int64 h = 0; h < rows.size.heads; ++h)
                for (int64 t = 0; t < rows.size.tokens; ++t)
                    for (int64 c = 0; c < rows.size.dim; ++c) {
                        double& to = x.view().row(b, h, t)[c];
                        to = static_cast<double>(heed::channel_of(rows.in().row(b, h, t), c));
                        if (by.kind == scales::of_channels) to *= static_cast<double>(scale.row(0, h, 0)[c]);
                        else if (by.kind != scales::none) to *= static_cast<double>(*scale.row(b, h, t));
                    }
        return x;
    }

    tensor<K> k_;
    tensor<V> v_;
    scales_of k_scale_, v_scale_;
    scales of_keys_;
};

}  // namespace oracle
