// SPDX-License-Identifier: MIT
// Products of integers keep the bound in the comment of heed::compute: of each component, in double,
//
//     |o - exact| <= e^(2 d) (sum_j |do/ds_j| d_j + sum over tiles L^-1 / 2 max_j |p_j d_j| sum_j |n_jc|) + roundings
//
// d_j is the bound of a score's error, L^-1 / 2 max_c |q_c| sum_c |k_jc|, and e^(2 d) what the largest of them makes of
// weights. Roundings are those of the float class, a small part of it.
#include "../quantised.hpp"

#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <iostream>

using namespace test;

namespace {

/// Whole numbers, and the scale of each channel's block.
struct decoded {
    tensor<double> whole, scale;
};

template <class E>
decoded decode(const tensor<E>& t, const tensor<float>& by)
{
    decoded d{tensor<double>(t.size), tensor<double>(t.size)};
    for (int64 h = 0; h < t.size.heads; ++h)
        for (int64 j = 0; j < t.size.tokens; ++j)
            for (int64 c = 0; c < t.size.dim; ++c) {
                const E* row = t.in().row(0, h, j);
                double& whole = d.whole.view().row(0, h, j)[c];
                double& scale = d.scale.view().row(0, h, j)[c];
                if constexpr (heed::channels_of < E >> 1) {
                    scale = static_cast<double>(float(row[c / 32].d));
                    if constexpr (sizeof(E) == 34) whole = row[c / 32].q[c % 32];
                    else whole = (c % 32 < 16 ? row[c / 32].q[c % 16] & 15 : row[c / 32].q[c % 16] >> 4) - 8;
                } else {
                    whole = row[c];
                    scale = static_cast<double>(*by.in().row(0, h, j));
                }
            }
    return d;
}

template <class K, class V>
struct cached {
    tensor<float> q;
    tensor<K> k;
    tensor<V> v;
    tensor<float> k_scales, v_scales;
    decoded keys, values;
    tensor<double> k_exact, v_exact;

    cached(heed::extents q_size, int64 kv_heads, int64 n, int64 value_dim, double spread, std::uint64_t seed)
        : q(normal<float>(q_size, seed)), k(drawn_elements<K>({1, kv_heads, n, q_size.dim}, seed + 1)),
          v(drawn_elements<V>({1, kv_heads, n, value_dim}, seed + 2)),
          k_scales(drawn_scales(k.size, seed + 3, 0.015 * spread)), v_scales(drawn_scales(v.size, seed + 4, 0.015))
    {
        for (float& x : q.data) x *= static_cast<float>(heed::channels_of < K >> 1 ? spread : 1);
    }
    void decode_all()
    {
        keys = decode(k, k_scales);
        values = decode(v, v_scales);
        const auto product = [](const decoded& d) {
            tensor<double> x = d.whole;
            for (std::size_t i = 0; i < x.data.size(); ++i) x.data[i] *= d.scale.data[i];
            return x;
        };
        k_exact = product(keys);
        v_exact = product(values);
    }
    template <class F>
    void with_cache(F f) const
    {
        const heed::dense_kv rows{k.in(), v.in()};
        if constexpr (heed::channels_of < K >> 1) f(rows);
        else f(heed::scaled_kv{rows, heed::per_token{k_scales.in()}, heed::per_token{v_scales.in()}});
    }
};

/// The largest error of a result as a fraction of the bound.
template <int Bits, class K, class V, class Normalizer>
double fraction_of_bound(const cached<K, V>& x, const Normalizer& normalizer)
{
    const heed::attention exact{normalizer, heed::causal{}};
    const heed::attention def{normalizer, heed::causal{}, heed::compute<std::int8_t, Bits>{}};
    const heed::extents& size = x.q.size;
    const int64 keys = x.k.size.tokens, dim = x.v.size.dim;
    tensor<float> out({1, size.heads, size.tokens, dim});
    x.with_cache([&](const auto& kv) { heed::or_throw(heed::attend(def, x.q.in(), kv, out.view())); });

    tensor<double> expected(out.size);
    std::vector<double> scores(static_cast<std::size_t>(size.heads * size.tokens * keys)), weights(scores.size());
    heed::reference_dump<double> dump;
    dump.masked = scores.data();
    dump.weights = weights.data();
    heed::or_throw(heed::reference<double>(exact, x.q.in(), x.k_exact.in(), x.v_exact.in(), expected.view(), &dump));

    const double terms = static_cast<double>(heed::channels_of < K >> 1 ? 32 : size.dim);
    const double largest = Bits == 8 ? 127 : 32639,
                 of_query = std::min(largest, std::floor(2147483647 / (128 * terms)));
    double worst = 0;
    for (int64 h = 0; h < size.heads; ++h)
        for (int64 i = 0; i < size.tokens; ++i) {
            const auto line = static_cast<std::size_t>((h * size.tokens + i) * keys);
            const int64 kv_head = h / (size.heads / x.k.size.heads);
            double most = 0, den = 1, furthest = 0;
            for (int64 c = 0; c < size.dim; ++c)
                most = std::max(most,
                                std::fabs(static_cast<double>(x.q.in().row(0, h, i)[c]) * exact.scale_for(size.dim)));
            const std::vector<double> row(scores.begin() + static_cast<std::ptrdiff_t>(line),
                                          scores.begin() + static_cast<std::ptrdiff_t>(line) + keys);
            const double m = heed::reference_shift(normalizer, h, row);
            if constexpr (heed::has_mass_v<Normalizer>) {
                den = 0;
                for (const double s : row)
                    if (s > -1e300) den += normalizer.terms(heed::reference_score<double>(s, m)).mass;
                if constexpr (heed::has_log_offset_v<Normalizer>) den += std::exp(normalizer.log_offset(h) - m);
            }
            std::vector<double> error(static_cast<std::size_t>(keys)), roundings(error.size());
            for (int64 j = 0; j < keys; ++j) {
                double sum = 0, dot = 0;
                for (int64 c = 0; c < size.dim; ++c) {
                    const double kc = x.k_exact.in().row(0, kv_head, j)[c];
                    sum += std::fabs(kc);
                    dot += std::fabs(kc * static_cast<double>(x.q.in().row(0, h, i)[c]) * exact.scale_for(size.dim));
                }
                const auto at = static_cast<std::size_t>(j);
                error[at] = most / of_query / 2 * sum;
                roundings[at] = 0x1p-22 * (2 + dot);
                if (row[at] > -1e300) furthest = std::max(furthest, error[at]);
            }
            for (int64 c = 0; c < dim; ++c) {
                const double o = expected.view().row(0, h, i)[c];
                double by_scores = 0, by_weights = 0, rounding = 0;
                for (int64 first = 0; first < keys; first += 512) {
                    double top = 0, whole = 0;
                    for (int64 j = first; j < std::min<int64>(first + 512, keys); ++j) {
                        const auto at = static_cast<std::size_t>(j);
                        if (!(row[at] > -1e300)) continue;
                        const double v = x.v_exact.in().row(0, kv_head, j)[c];
                        double slope = 0;
                        for (const double way : {-1., 0., 1.}) {
                            const double by = way * (error[at] + roundings[at]);
                            const auto s = normalizer.slopes(heed::reference_score<double>(row[at] + by, m));
                            if constexpr (heed::has_mass_v<Normalizer>)
                                slope = std::max(slope, std::fabs(s.weight * v - s.mass * o));
                            else slope = std::max(slope, std::fabs(s.value * v));
                        }
                        by_scores += slope / den * error[at];
                        rounding += slope / den * roundings[at] + 0x1p-20 * weights[line + at] * std::fabs(v);
                        top = std::max(top, weights[line + at] * std::fabs(x.values.scale.in().row(0, kv_head, j)[c]));
                        whole += std::fabs(x.values.whole.in().row(0, kv_head, j)[c]);
                    }
                    by_weights += top / largest / 2 * whole;
                }
                const double bound = std::exp(2 * furthest) * (by_scores + by_weights) * 1.01 + rounding +
                                     0x1p-23 * std::fabs(o) + 1e-30;
                worst = std::max(worst, std::fabs(static_cast<double>(out.view().row(0, h, i)[c]) - o) / bound);
            }
        }
    return worst;
}

/// f(name, normalizer) for all of them over int8, and over blocks for those that differ in kind.
template <class K, class F>
void for_normalizers_of(int64 heads, F f)
{
    if constexpr (heed::channels_of < K >> 1) {
        f("softmax", heed::softmax{});
        f("softpick", heed::softpick{});
    } else {
        for_each_normalizer(heads, f);
    }
}

template <class K, class V>
void keeps_bound(const char* what, const cached<K, V>& x)
{
    double of_16 = 0, of_8 = 0;
    for_normalizers_of<K>(x.q.size.heads, [&](const char* name, auto normalizer) {
        CAPTURE(what, name);
        const double a = fraction_of_bound<16>(x, normalizer), b = fraction_of_bound<8>(x, normalizer);
        CHECK(a <= 1);
        CHECK(b <= 1);
        of_16 = std::max(of_16, a);
        of_8 = std::max(of_8, b);
    });
    std::cout << "compute<int8>, " << what << ": " << of_16 << " of the bound by 16 bits, " << of_8 << " by 8\n";
}

template <class K, class V>
void keeps_bound_of(const char* what, heed::extents q, int64 keys, int64 value_dim)
{
    for (const double spread : {0.03, 1., 6.}) {
        cached<K, V> x(q, 2, keys, value_dim, spread, 5);
        x.decode_all();
        keeps_bound((what + (", spread " + std::to_string(spread))).c_str(), x);
    }
}

}  // namespace

TEST_CASE("products of integers keep their bound over int8", "[oracle]")
{
    keeps_bound_of<std::int8_t, std::int8_t>("int8", {1, 4, 1, 64}, 560, 24);
    keeps_bound_of<std::int8_t, std::int8_t>("int8, channels of no register", {1, 4, 1, 33}, 90, 7);
}

TEST_CASE("products of integers keep their bound where channels of K or of q stand out", "[oracle]")
{
    cached<std::int8_t, std::int8_t> x({1, 2, 1, 64}, 2, 560, 16, 1, 8);
    for (int64 h = 0; h < 2; ++h)
        for (int64 j = 0; j < 560; ++j)
            for (int64 c = 4; c < 64; ++c) x.k.view().row(0, h, j)[c] /= 50;
    x.decode_all();
    keeps_bound("four channels of K 50 times the others", x);
    for (int64 h = 0; h < 2; ++h) x.q.view().row(0, h, 0)[7] = 3000;  // and K there is small
    for (int64 h = 0; h < 2; ++h)
        for (int64 j = 0; j < 560; ++j) x.k.view().row(0, h, j)[7] = 0;
    x.decode_all();
    keeps_bound("a channel of q that K does not look at", x);
}

TEST_CASE("products of integers keep their bound over wide heads", "[oracle]")
{
    cached<std::int8_t, std::int8_t> x({1, 2, 1, 1040}, 1, 60, 16, 0.3, 3);
    std::fill(x.k.data.begin(), x.k.data.end(), std::int8_t{-128});  // the largest sums
    std::fill(x.q.data.begin(), x.q.data.end(), 0.1f);
    for (float& s : x.k_scales.data) s = 1e-4f;
    x.decode_all();
    keeps_bound("1040 channels of -128", x);
    cached<std::int8_t, std::int8_t> values({1, 2, 1, 16}, 1, 512, 16, 0.001, 3);
    std::fill(values.v.data.begin(), values.v.data.end(), std::int8_t{-128});
    for (float& s : values.v_scales.data) s = 0.01f;
    values.decode_all();
    keeps_bound("512 values of -128 with equal weights", values);
}

TEST_CASE("products of integers keep their bound over blocks", "[oracle]")
{
    keeps_bound_of<heed::q8_0, heed::q4_0>("q8_0 keys, q4_0 values", {1, 2, 2, 64}, 540, 96);
    keeps_bound_of<heed::q4_0, heed::q8_0>("q4_0 keys, q8_0 values", {1, 2, 1, 96}, 520, 64);
}
