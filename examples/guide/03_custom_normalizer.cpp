// SPDX-License-Identifier: MIT
// A normalizer that heed does not have, in a dozen lines: "rectified softmax", the ablation of the softpick paper
// that keeps only non-negative scores,
//
//     p_ij = e^s_ij [s_ij >= 0] / sum_j e^s_ij [s_ij >= 0].
//
// Prefill, decode, splitting and merging follow from it, with the same bits, and from its derivatives the gradient.
// heed::check() says in a sentence what is wrong with a normalizer, or with a score map or a mask: one call in a test.
#include <heed/heed.hpp>
#include <heed/testing.hpp>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

struct rectified {
    static constexpr auto shift = heed::shift::by_max;  // multiples of e^s; at_least_zero would do as well

    template <class Score>
    auto terms(Score s) const
    {
        const auto e = heed::select(s.value() < 0, 0 * s.exp(), s.exp());
        return heed::ratio{e, e};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return terms(s);
    }
};

int main()
{
    const heed::status verdict = heed::check(rectified{});
    std::printf("heed::check: %s\n", verdict.message());

    constexpr std::int64_t heads = 4, tokens = 1100, dim = 64;
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    const auto fill = [&](std::int64_t n) {
        std::vector<float> x(static_cast<std::size_t>(n));
        for (float& e : x) e = normal(random);
        return x;
    };
    const std::vector<float> q = fill(heads * tokens * dim), k = fill(heads * tokens * dim),
                             v = fill(heads * tokens * dim);
    const heed::extents all{1, heads, tokens, dim};
    const auto Q = heed::bhsd(q.data(), all), K = heed::bhsd(k.data(), all), V = heed::bhsd(v.data(), all);
    const heed::attention def{rectified{}, heed::causal{}};

    // Prefill: all tokens in one call, which also leaves the rows' {M, l} for the gradient.
    std::vector<float> prefill(q.size()), row_shift(heads * tokens), row_mass(row_shift.size());
    const auto O = heed::bhsd(prefill.data(), all);
    heed::options<float> how;
    how.stats = {row_shift.data(), row_mass.data(), nullptr};
    heed::or_throw(heed::attend(def, Q, K, V, O, how));

    // Gradient of sum(out * dout).
    std::vector<float> dq(q.size()), dk(k.size()), dv(v.size());
    const std::vector<float> dout = fill(heads * tokens * dim);
    const auto dO = heed::bhsd(dout.data(), all);
    heed::gradients<float> gradients;
    gradients.dq = heed::bhsd(dq.data(), all);
    gradients.dk = heed::bhsd(dk.data(), all);
    gradients.dv = heed::bhsd(dv.data(), all);
    heed::or_throw(heed::backward(def, Q, K, V, O, how.stats, dO, gradients));

    // Its check: out is linear in v, so the loss is sum(v * dv).
    double loss = 0, by_gradient = 0;
    for (std::size_t i = 0; i < v.size(); ++i) {
        loss += static_cast<double>(prefill[i]) * static_cast<double>(dout[i]);
        by_gradient += static_cast<double>(v[i]) * static_cast<double>(dv[i]);
    }

    // Decode: the last token alone.
    std::vector<float> decode(heads * dim);
    const heed::extents one{1, heads, 1, dim};
    const auto last = heed::strided(Q.row(0, 0, tokens - 1), one, Q.stride);
    heed::or_throw(heed::attend(def, last, K, V, heed::bhsd(decode.data(), one)));

    // Merge: keys [0, 1024) and the rest, attended apart.
    std::vector<float> shift(2 * heads), mass(2 * heads), partial(2 * heads * dim), merged(heads * dim);
    heed::state<float> part[2];
    for (int i = 0; i < 2; ++i) {
        part[i] = {shift.data() + i * heads, mass.data() + i * heads, partial.data() + i * heads * dim, one};
        heed::or_throw(heed::clear(def, part[i]));
        const std::int64_t first = i * 1024, end = i ? tokens : 1024;
        const heed::extents piece{1, heads, end - first, dim};
        heed::or_throw(heed::attend_partial(def, last, heed::strided(K.row(0, 0, first), piece, K.stride),
                                            heed::strided(V.row(0, 0, first), piece, V.stride), part[i],
                                            {first, tokens}));
    }
    heed::or_throw(heed::merge(part[0], part[1]));
    heed::or_throw(heed::finish(def, part[0], heed::bhsd(merged.data(), one)));

    bool same = true;
    for (std::int64_t h = 0; h < heads; ++h)
        same = same && !std::memcmp(prefill.data() + (h * tokens + tokens - 1) * dim, decode.data() + h * dim,
                                    dim * sizeof(float));
    const bool merged_same = !std::memcmp(decode.data(), merged.data(), decode.size() * sizeof(float));
    std::printf("rectified softmax, last token, head 0: %.6f %.6f %.6f ...\n", decode[0], decode[1], decode[2]);
    std::printf("decode has the bits of prefill: %s\n", same ? "yes" : "NO");
    std::printf("two merged parts have the bits of the whole: %s\n", merged_same ? "yes" : "NO");
    std::printf("sum(out * dout) = %.3f, sum(v * dv) = %.3f\n", loss, by_gradient);
    return verdict && same && merged_same && std::fabs(loss - by_gradient) < 1e-4 * std::fabs(loss) ? 0 : 1;
}
