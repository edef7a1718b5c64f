// SPDX-License-Identifier: MIT
// Normalizers with a threshold, those of a user among them, and what attend leaves of them for backward.
#pragma once

#include "gradients.hpp"

namespace test {

/// w(y) = y + y^2 above 0: not a power, so that its degree is unknown.
struct own_sum {
    static constexpr auto threshold = heed::sum_is_one(0.75);

    template <class Score>
    auto terms(Score s) const
    {
        const auto y = heed::max(s.value(), 0);
        return heed::weight{y + y * y};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return heed::weight{heed::select(s.value() > 0, s.value() * 2 + 1, 0)};
    }
};

/// Softpick of the largest scores, how many differs from head to head.
struct own_rank : heed::softpick {
    static constexpr auto threshold = heed::rank;

    std::int64_t rank(std::int64_t head) const { return 5 + head; }
};

/// The squares of another normalizer's weights, whose denominator has an extra mass.
struct own_share {
    static constexpr auto threshold = heed::share_of<heed::softmax1>{};

    template <class Score>
    auto terms(Score s) const
    {
        return heed::weight{s.share() * s.share()};
    }
    template <class Score>
    auto slopes(Score s) const
    {
        return heed::weight{s.share() * 2};
    }
};

/// f(name, normalizer) for every kind of threshold, for up to 8 query heads.
template <class F>
void for_each_threshold(F f)
{
    static const std::vector<float> offsets{-1, -0.5f, -3, 0.25f, -1, -2, 0, -0.75f};
    f("sparsemax", heed::sparsemax{});
    f("entmax15", heed::entmax15{});
    f("entmax<4>", heed::entmax<4>{});
    f("top_k", heed::top_k{9});
    f("elastic_softmax", heed::elastic_softmax{offsets.data(), 4});
    f("clipped_softmax", heed::clipped_softmax{-0.02, 1.1});
    f("own_sum", own_sum{});
    f("own_rank", own_rank{});
    f("own_share", own_share{});
}

/// Of a problem and a normalizer, beside other policies: the forward pass, and gradients by what it left.
template <class E, class Normalizer, class... Others>
struct threshold_problem {
    using T = heed::compute_t<E>;
    static constexpr bool needs_slope_out = heed::needs_slope_out_v<Normalizer>;

    const gradient_problem<E>& p;
    heed::attention<Normalizer, Others...> plain;
    std::tuple<Normalizer, Others...> policies;
    std::vector<heed::row_threshold<T>> thresholds;
    tensor<T> slope_out;
    forward_pass<T> left;

    threshold_problem(const gradient_problem<E>& of, const Normalizer& normalizer, const Others&... others)
        : p(of), plain(normalizer, others...), policies(normalizer, others...)
    {
        const auto rows = static_cast<std::size_t>(p.q.size.batch * p.q.size.heads * p.q.size.tokens);
        thresholds.resize(rows);
        slope_out = tensor<T>(p.out_size(), T(-7));
        left = {tensor<T>(p.out_size()), std::vector<T>(rows), std::vector<T>(rows)};
    }
    auto keeping()
    {
        return with(heed::keep_thresholds{thresholds, needs_slope_out ? slope_out.view() : heed::view<T>()});
    }
    auto knowing() { return with(heed::known_thresholds{thresholds, slope_out.in()}); }
    void attend(heed::options<T> how = {})
    {
        how.stats = left.stats();
        heed::or_throw(heed::attend(keeping(), p.q.in(), p.k.in(), p.v.in(), left.out.view(), how));
    }
    owned_gradients<T> backward(const heed::options<T>& how = {}) { return p.backward(knowing(), left, how); }

private:
    template <class Table>
    auto with(const Table& table) const
    {
        return std::apply([&](const auto&... each) { return heed::attention{each..., table}; }, policies);
    }
};

}  // namespace test
