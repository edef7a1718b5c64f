// SPDX-License-Identifier: MIT
// Gradients in double: against the gate, whose reference is of long double, and against central differences of attend.
// The reference itself stands against differences of the forward reference.
#include "judge_gradients.hpp"

#include <heed/reference.hpp>

using namespace oracle;

TEST_CASE("the gradients of every random family pass the gate, in double", "[oracle]")
{
    scoreboard board;
    judge_gradients_of_families<double>(board);
    board.print("gradients, families");
}

TEST_CASE("the gradients of every normalizer and mask, and of softmax and softpick with every map, pass in double",
          "[oracle]")
{
    scoreboard board;
    judge_gradients_of_grid<double>(board, 3);
    judge_gradients_of_bands<double>(board);
    board.print("gradients, grid");
}

namespace {

constexpr int64 heads = 2;

/// A small problem, with tables for every kind of score map, and its scores apart from the kinks of the normalizers.
struct small_problem {
    test::gradient_problem<double> p;
    std::array<float, heads> slopes{0.5f, 0.25f}, logits{-0.5f, 0.25f};
    test::tensor<double> added, gates;
    bool by_length;  // which maps
    std::vector<double> dlse = test::normal<double>({2, heads, 4, 1}, 17).data;

    explicit small_problem(std::uint64_t seed, bool lengths)
        : p(test::problem<double>(2, heads, 1, 4, 7, 3, 2, seed)),
          added(test::normal<double>({1, heads, 4, 7}, seed + 5)), gates(test::normal<double>({1, heads, 1, 7}, 3)),
          by_length(lengths)
    {}
    some_maps<double> maps() const
    {
        if (by_length)
            return {heed::decay(gates.in()), heed::log_length_scale(slopes.data(), heads), heed::bias(added.in())};
        return {heed::softcap{2.5}, heed::alibi(slopes.data(), heads), heed::bias(added.in())};
    }
    template <class Normalizer>
    auto definition(const Normalizer& normalizer) const
    {
        return of_grid(normalizer, maps(), some_mask(heed::causal{}), heed::query_offset{3}, 0.7);
    }
    double nearest_to_a_kink() const
    {
        const auto def = definition(heed::softmax{});
        test::tensor<double> out(p.out_size()), mapped({2, heads, 4, 7});
        heed::reference_dump<double> dump;
        dump.mapped = mapped.data.data();
        heed::or_throw(heed::reference(def, p.q.in(), p.k.in(), p.v.in(), out.view(), &dump));
        double nearest = 1;
        for (const double s : mapped.data) nearest = std::min(nearest, std::fabs(s));
        return nearest;
    }
};

small_problem away_from_kinks(bool by_length)
{
    for (std::uint64_t seed = 1;; ++seed) {
        small_problem x(seed, by_length);
        if (x.nearest_to_a_kink() > 0.02) return x;
    }
}

/// The sum of dO * out and dlse * lse, of the forward pass that `attend(def, p, out, lse)` is.
template <class Real, class Def, class Attend>
long double loss(const Def& def, const small_problem& x, Attend attend)
{
    const test::gradient_problem<double>& p = x.p;
    test::tensor<Real> out(p.out_size());
    std::vector<Real> lse(x.dlse.size());
    attend(def, p, out, lse.data());
    long double sum = 0;
    for (std::size_t i = 0; i < lse.size(); ++i)
        sum += static_cast<long double>(x.dlse[i]) * static_cast<long double>(lse[i]);
    for (std::size_t i = 0; i < out.data.size(); ++i)
        sum += static_cast<long double>(p.dout.data[i]) * static_cast<long double>(out.data[i]);
    return sum;
}

constexpr double step = 0x1p-13;  // exact in the float tables, too

/// The derivative of f(x) at x, by differences of the fourth order.
template <class T, class F>
long double derivative(T& x, F f)
{
    const T here = x;
    const auto at = [&](int steps) {
        x = static_cast<T>(static_cast<double>(here) + steps * step);
        return f();
    };
    const long double near = at(1) - at(-1), far = at(2) - at(-2);
    x = here;
    return (8 * near - far) / (12 * static_cast<long double>(step));
}

/// Whether every gradient is that difference, to `tolerance` of itself or of a thousandth of the largest.
template <class Real, class T, class F>
void is_derivative(const char* name, const std::vector<Real>& gradient, T* x, F f, double tolerance)
{
    long double largest = 0;
    for (const Real g : gradient) largest = std::max(largest, std::fabs(static_cast<long double>(g)));
    for (std::size_t i = 0; i < gradient.size(); ++i) {
        const long double g = gradient[i], expected = derivative(x[i], f);
        INFO(name << "[" << i << "]: " << g << ", by differences " << expected);
        CHECK(std::fabs(g - expected) <= tolerance * std::max(std::fabs(g), largest / 1000));
    }
}

/// Calls f(name, normalizer of x) for every normalizer: what it makes of the logits of x, or of an extra mass e^z.
template <class F>
void for_each_normalizer_of(const small_problem& x, double z, F f)
{
    f("softmax", heed::softmax{});
    f("softmax1", heed::softmax1{std::exp(z)});
    f("softmax_sink", heed::softmax_sink{x.logits.data(), heads});
    f("softpick", heed::softpick{});
    f("softpick eps", heed::softpick{std::exp(z)});
    f("sigmoid", heed::sigmoid{-2});
    f("relu<1>", heed::relu<1>{});
    f("relu<2>", heed::relu<2>{});
}

/// Checks all gradients against differences of `attend`.
template <class Real, class Gradient, class Attend>
void check_differences(bool by_length, Gradient gradient, Attend attend, double tolerance)
{
    small_problem x = away_from_kinks(by_length);
    double z = -1;
    for_each_normalizer_of(x, z, [&](const std::string& name, const auto& normalizer) {
        INFO(name);
        const auto def = x.definition(normalizer);
        const test::owned_gradients<Real> g = gradient(def, x.p, x.dlse);
        const auto f = [&] { return loss<Real>(def, x, attend); };
        is_derivative("dq", g.dq.data, x.p.q.data.data(), f, tolerance);
        is_derivative("dk", g.dk.data, x.p.k.data.data(), f, tolerance);
        is_derivative("dv", g.dv.data, x.p.v.data.data(), f, tolerance);
        is_derivative("dslopes", g.dslopes, x.slopes.data(), f, tolerance);
        // The bias is one for both sequences.
        std::vector<Real> dbias(x.added.data.size());
        for (std::size_t i = 0; i < g.dbias.data.size(); ++i) dbias[i % dbias.size()] += g.dbias.data[i];
        is_derivative("dbias", dbias, x.added.data.data(), f, tolerance);
        if (name == "softmax_sink") is_derivative("dlog_offset", g.dlog_offset, x.logits.data(), f, tolerance);
        else if (!g.dlog_offset.empty()) {
            // Both heads have the same extra mass.
            const auto of_z = [&] {
                long double result = 0;
                for_each_normalizer_of(x, z, [&](const std::string& other, const auto& moved) {
                    if (other == name) result = loss<Real>(x.definition(moved), x, attend);
                });
                return result;
            };
            is_derivative("dlog_offset", std::vector<Real>{g.dlog_offset[0] + g.dlog_offset[1]}, &z, of_z, tolerance);
        }
    });
}

}  // namespace

TEST_CASE("the reference of the gradient is the central difference of the reference", "[oracle]")
{
    const bool by_length = GENERATE(false, true);
    check_differences<long double>(
        by_length,
        [](const auto& def, const auto& p, const std::vector<double>& dlse) {
            const heed::output_gradients of{heed::view<const double>{}, {}, p.dout.in(), dlse};
            auto g = p.template room_for<long double>(def);
            heed::or_throw(heed::reference_backward<long double>(def, p.q.in(), p.k.in(), p.v.in(), of, g.all()));
            return g;
        },
        [](const auto& def, const auto& p, test::tensor<long double>& out, long double* lse) {
            heed::reference_dump<long double> dump;
            dump.lse = lse;
            heed::or_throw(heed::reference<long double>(def, p.q.in(), p.k.in(), p.v.in(), out.view(), &dump));
        },
        1e-11);
}

TEST_CASE("gradients in double are the central differences of attend", "[oracle]")
{
    const bool by_length = GENERATE(false, true);
    check_differences<double>(
        by_length,
        [](const auto& def, const auto& p, const std::vector<double>& dlse) {
            const auto f = p.forward(def);
            auto g = p.template room_for<double>(def);
            heed::or_throw(heed::backward(def, p.q.in(), heed::dense_kv{p.k.in(), p.v.in()},
                                          heed::output_gradients{f.out.in(), f.stats(), p.dout.in(), dlse}, g.all()));
            return g;
        },
        [](const auto& def, const auto& p, test::tensor<double>& out, double* lse) {
            const heed::options<double> how{.executor = {}, .workspace = {}, .stats = {nullptr, nullptr, lse}};
            heed::or_throw(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view(), how));
        },
        1e-7);
}
