// SPDX-License-Identifier: MIT
// merge and finish on any three arrays {M, l, o}, beside plain loops of double:
//
//     M = max(M1, M2)     l = 2^(M1 - M) l1 + 2^(M2 - M) l2     o likewise; a factor that is 0 in float leaves its o
//     out
#include "attend.hpp"

namespace fuzz {
namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

/// 2^n as float holds it.
double factor(double n) { return n < -149 ? 0 : std::ldexp(1., static_cast<int>(std::max(n, -2000.))); }

struct owned {
    heed::state<float> s;
    int64 rows = 0;

    static owned drawn(input& in, const heed::extents& e, bool sane)
    {
        owned x;
        x.rows = e.batch * e.heads * e.tokens;
        const auto n = static_cast<std::size_t>(x.rows);
        std::vector<float> shift(n), mass(n), out(n * static_cast<std::size_t>(e.dim));
        constexpr int spreads[] = {0, 3, 40, 160, 300};
        const int spread = in.one_of(spreads);
        for (std::size_t i = 0; i < n; ++i) {
            const bool empty = in.random() % 5 == 0;
            shift[i] = empty ? heed::kernel::initial_shift<heed::shift::by_max, float>
                             : static_cast<float>(std::nearbyint(spread * in.normal()));
            mass[i] = empty ? 0 : static_cast<float>(in.uniform() * 3);
            for (int64 c = 0; c < e.dim; ++c)
                out[i * static_cast<std::size_t>(e.dim) + static_cast<std::size_t>(c)] =
                    empty ? 0 : static_cast<float>(in.normal());
        }
        for (int64 k = sane ? 0 : in.range(0, 3); k > 0 && !out.empty(); --k)
            out[in.random() % out.size()] = static_cast<float>(special(in));
        if (!sane && n > 0 && in.one_in(8)) mass[in.random() % n] = static_cast<float>(special(in));
        x.s = {table(in, shift), table(in, mass), table(in, out), e};
        return x;
    }
};

struct numbers {
    std::vector<double> shift, mass, out;
    explicit numbers(const owned& x)
        : shift(x.s.shift, x.s.shift + x.rows), mass(x.s.mass, x.s.mass + x.rows),
          out(x.s.out, x.s.out + x.rows * x.s.size.dim)
    {}
};

void near(double got, double want, double allowed, const char* what)
{
    if (!std::isfinite(want) || std::fabs(want) > 1e37) {
        require(!std::isfinite(got) || std::fabs(want) > 1e37, std::string(what) + " is finite");
        return;
    }
    require(std::fabs(got - want) <= allowed, std::string(what) + " is " + shown(static_cast<double>(got)) +
                                                  ", expected " + shown(static_cast<double>(want)));
}

void merge_case(input& in, const heed::extents& e)
{
    const bool sane = in.one_in(2);
    owned a = owned::drawn(in, e, sane), b = owned::drawn(in, e, sane);
    const numbers x(a), y(b);
    int64 wrong = in.one_in(8) ? in.range(0, 7) : -1;
    if (wrong >= 0 && wrong < 4) {
        int64* const fields[] = {&b.s.size.batch, &b.s.size.heads, &b.s.size.tokens, &b.s.size.dim};
        const int64 before = *fields[wrong];
        *fields[wrong] = in.one_in(2) ? in.hostile() : before + 1;
        if (*fields[wrong] == before) wrong = -1;
    } else if (wrong >= 4 && wrong < 7) {
        (wrong == 4 ? b.s.shift : wrong == 5 ? b.s.mass : b.s.out) = nullptr;
        if (a.rows == 0 || e.dim == 0) wrong = -2;  // nothing to point to
    } else {
        wrong = -1;
    }
    all_memory().keep();
    const heed::status s = heed::merge(a.s, b.s);
    if (!s) {
        require(all_memory().unchanged(), "merge refused and wrote");
        require(wrong != -1, std::string("merge refused: ") + s.message());
        return;
    }
    require(wrong < 0, "merge took two states of different sizes, or null");
    if (wrong == -2) return;
    const auto within = [&](const std::byte* p) {
        const auto of = [&](const float* f, int64 n) {
            return p >= reinterpret_cast<const std::byte*>(f) && p < reinterpret_cast<const std::byte*>(f + n);
        };
        return of(a.s.shift, a.rows) || of(a.s.mass, a.rows) || of(a.s.out, a.rows * e.dim);
    };
    require(all_memory().unchanged_but(within), "merge wrote beside its first state");
    for (int64 i = 0; i < a.rows; ++i) {
        const auto r = static_cast<std::size_t>(i);
        const double m = std::max(x.shift[r], y.shift[r]), mine = factor(x.shift[r] - m),
                     theirs = factor(y.shift[r] - m);
        require(static_cast<double>(a.s.shift[i]) == m, "merge: shift");
        const double l = x.mass[r] * mine + y.mass[r] * theirs;
        near(number(a.s.mass[i]), l,
             3 * 0x1p-24 * (std::fabs(x.mass[r] * mine) + std::fabs(y.mass[r] * theirs)) + 0x1p-148, "merge: mass");
        for (int64 c = 0; c < e.dim; ++c) {
            const std::size_t at = r * static_cast<std::size_t>(e.dim) + static_cast<std::size_t>(c);
            const double p = mine == 0 ? 0 : x.out[at] * mine, q = theirs == 0 ? 0 : y.out[at] * theirs;
            near(number(a.s.out[at]), p + q, 3 * 0x1p-24 * (std::fabs(p) + std::fabs(q)) + 0x1p-148, "merge: out");
        }
    }
}

template <class Def, class O>
void finish_case(input& in, const Def& def, const recipe<float>& r, const heed::extents& e, bool policy_is_sound)
{
    const owned a = owned::drawn(in, e, in.one_in(2));
    const bool hostile = in.one_in(6);
    auto out = placed<O>::drawn(in, e, !in.one_in(6), hostile);
    heed::state<float> s = a.s;
    float* const lse = in.one_in(3) ? nullptr : table(in, std::vector<float>(static_cast<std::size_t>(a.rows), -7));
    const auto same = [](const heed::extents& x, const heed::extents& y) {
        return x.batch == y.batch && x.heads == y.heads && x.tokens == y.tokens && x.dim == y.dim;
    };
    const bool valid = out.has_memory && is_describable(out.v) && same(out.v.size, e) && policy_is_sound;
    const bool overlaps = valid && touch(rows_of(out.v));
    if (!out.has_memory && same(out.v.size, e) && is_describable(out.v) && !is_empty(e)) return;  // sound, but nowhere
    const numbers x(a);
    all_memory().keep();
    const heed::status ok = heed::finish(def, s, out.v, lse);
    if (!ok) {
        require(all_memory().unchanged(), "finish refused and wrote");
        require(!valid || !strides_nest(out.v), std::string("finish refused: ") + ok.message());
        return;
    }
    require(valid && !overlaps, "finish took what is not sound");
    const row_bytes rows(out.v);
    require(all_memory().unchanged_but([&](const std::byte* p) {
        return rows(p) ||
               (lse && p >= reinterpret_cast<std::byte*>(lse) && p < reinterpret_cast<std::byte*>(lse + a.rows));
    }),
            "finish wrote beside its output");
    int64 i = 0;
    for (int64 b = 0; b < e.batch; ++b)
        for (int64 h = 0; h < e.heads; ++h)
            for (int64 t = 0; t < e.tokens; ++t, ++i) {
                const auto at = static_cast<std::size_t>(i);
                const double z = r.log_offset(h);
                // In units of 2^shift, unless the extra mass is larger.
                const double needed = z == -inf ? -inf : std::ceil(z / std::log(2.)), m = std::max(x.shift[at], needed);
                const double lost = factor(x.shift[at] - m), extra = z == -inf ? 0 : std::exp(z - m * std::log(2.));
                const double den = r.n == normalizer::sigmoid ? 1 : x.mass[at] * lost + extra;
                // z is a float there; and a double has no digits left for the difference of two such numbers
                const bool near_edge = std::fabs(x.shift[at] - m + 149.5) < 3 || (z != -inf && std::fabs(z) > 1e6);
                if (!(std::fabs(den) < 1e37) || near_edge) continue;
                if (den != 0 && std::fabs(den) < 1e-30) continue;
                for (int64 c = 0; c < e.dim; ++c) {
                    const double o = x.out[at * static_cast<std::size_t>(e.dim) + static_cast<std::size_t>(c)];
                    const double want = den == 0 || lost == 0 ? 0 : o * lost / den, got = number(out.v.row(b, h, t)[c]);
                    if (std::fabs(want) > overflow<O> && std::isfinite(want)) continue;
                    if (!std::isfinite(o)) {
                        near(got, want, 0, "finish: out, of Inf or NaN,");
                        continue;
                    }
                    const double relative = 0x1p-24 * (12 + 3 * std::fabs(z == -inf ? 0 : z)) + unit_of<O>;
                    near(got, want,
                         relative * std::fabs(want) + 2 * smallest_step<O> +
                             4 * 0x1p-149 * (1 + (1 + std::fabs(o)) / std::fabs(den == 0 ? 1 : den)),
                         "finish: out");
                }
                if (lse && den > 0)
                    near(number(lse[i]), std::log(den) + m * std::log(2.),
                         0x1p-22 * (8 + std::fabs(std::log(den) + m * std::log(2.)) + 3 * std::fabs(z == -inf ? 0 : z)),
                         "finish: lse");
                if (lse && den == 0) require(number(lse[i]) == -inf, "finish: lse of an empty row");
            }
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    all_memory().clear();
    const heed::extents e{in.one_in(3) ? in.range(0, 2) : 1, in.range(1, 3), in.one_in(12) ? 0 : in.range(1, 6),
                          in.range(1, 20)};
    if (in.one_in(2)) {
        merge_case(in, e);
        return 0;
    }
    constexpr normalizer kinds[] = {normalizer::softmax, normalizer::softmax1, normalizer::sink, normalizer::softpick,
                                    normalizer::sigmoid};
    const extent sizes{e.batch, e.heads, e.heads, e.tokens, 1};
    auto r = recipe<float>::drawn(in, in.one_of(kinds), sizes, 8, true, in.one_in(6));
    r.scale = 1;  // finish() has none
    const bool sound = r.is_sound(sizes);
    const auto with = [&](const auto& n) {
        const heed::attention def{n};
        if (in.one_in(2)) finish_case<std::decay_t<decltype(def)>, float>(in, def, r, e, sound);
        else finish_case<std::decay_t<decltype(def)>, heed::f16>(in, def, r, e, sound);
    };
    switch (r.n) {
    case normalizer::softmax1: with(heed::softmax1(r.parameter)); break;
    case normalizer::sink: with(heed::softmax_sink(r.logits, r.logit_count)); break;
    case normalizer::softpick: with(heed::softpick{r.parameter}); break;
    case normalizer::sigmoid: with(heed::sigmoid{r.parameter}); break;
    default: with(heed::softmax{}); break;
    }
    return 0;
}
