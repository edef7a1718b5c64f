// SPDX-License-Identifier: MIT
// Normalizers that heed does not have, as a file of one's own adds them to twins. Copy it and change it:
//
//     cmake --preset release -DTWINS_EXTRA=examples/twins/extra.cpp && cmake --build --preset release --target twins
//     build/release/examples/twins/twins train softmax elu --seconds 60
#include <twins/extra.hpp>

namespace {

/// A ratio: exponential below 0, and a straight line above it, so that no score can take a row for itself. The kernel
/// of linear attention (Katharopoulos et al. 2020, arXiv 2006.16236), of scores.
struct elu {
    static constexpr auto shift = heed::shift::none;

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = s.value(), w = heed::select(x > 0, x + 1, s.exp());
        return heed::ratio{w, w};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto d = heed::select(s.value() > 0, s.one(), s.exp());
        return heed::ratio{d, d};
    }
};

/// A threshold: entmax of alpha 4/3, between softmax and entmax 1.5.
struct entmax133 {
    static constexpr auto threshold = heed::sum_is_one(3, 3);

    template <class Score>
    auto terms(Score s) const
    {
        const auto x = heed::max(s.value() * (1. / 3), 0);
        return heed::weight{x * x * x};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        const auto x = heed::max(s.value() * (1. / 3), 0);
        return heed::weight{x * x};
    }
};

/// A score map: s - f_h log(1 + |i - j|), of which each head learns its f_h (KERPLE's logarithmic kernel of one
/// parameter, Chi et al. 2022, arXiv 2205.09921).
struct log_distance {
    const float* factors;

    static constexpr auto parameter = heed::parameter::per_head;
    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        using T = typename heed::lanes_of<V>::element;
        return heed::fma(V(static_cast<T>(factors[at.head])), parameter_slope(s, at), s);
    }
    template <class V>
    V slope(V, const heed::score_place<V>&) const
    {
        return V(1);
    }
    template <class V>
    V parameter_slope(V, const heed::score_place<V>& at) const
    {
        return -heed::log(V(1) + heed::abs(at.distances()));
    }
};

double one(std::int64_t) { return 1; }

}  // namespace

void twins::add_extra(normalizer_table<number>& all)
{
    all.add({"elu", "(elu(s) + 1) / sum (elu(s) + 1)"}, elu{});
    all.add({"entmax133", "max((s - tau) / 3, 0)^3; tau: they sum to 1"}, entmax133{});
    all.add({"softmax-kerple", "softmax of s - f log(1 + i - j); a head learns f", one}, [](const heads& h) {
        return std::tuple{log_distance{h.learned}, heed::softmax{}};
    });
}
