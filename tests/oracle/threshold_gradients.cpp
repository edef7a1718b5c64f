// SPDX-License-Identifier: MIT
// Gradients of normalizers with a threshold, which moves with the scores: the kernels' and the reference's against
// central differences of attend in double, and the kernels' in float against the reference.
#include "threshold_gradients.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>

using namespace test;

namespace {

/// Numbers of a problem, each moved up and down, against two gradients in them. Differences are off by some 3e-10;
/// without the threshold's part, or with out in place of o', gradients are off by a tenth of the largest and more.
template <class Loss>
void same_as_differences(std::vector<double>& numbers, const Loss& loss, const std::vector<double>& kernels,
                         const std::vector<double>& reference)
{
    constexpr double step = 1e-5;
    double largest = 0;
    for (const double g : reference) largest = std::max(largest, std::fabs(g));
    REQUIRE(largest > 0.001);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const double x = numbers[i];
        numbers[i] = x + step;
        const double after = loss();
        numbers[i] = x - step;
        const double difference = (after - loss()) / (2 * step);
        numbers[i] = x;
        REQUIRE(std::fabs(kernels[i] - difference) < 1e-8 * largest);
        REQUIRE(std::fabs(reference[i] - difference) < 1e-8 * largest);
    }
}

template <class Normalizer, class... Others>
void judge(const Normalizer& normalizer, tensor<double>* added, const Others&... others)
{
    gradient_problem<double> p(problem<double>(1, 4, 2, 3, 40, 6, 5));
    threshold_problem of(p, normalizer, heed::causal{}, others...);
    of.attend();
    const auto kernels = of.backward();
    const auto reference = p.reference<double>(of.plain);
    const auto loss = [&] {
        of.attend();
        double sum = 0;
        for (std::size_t i = 0; i < p.dout.data.size(); ++i) sum += p.dout.data[i] * of.left.out.data[i];
        return sum;
    };
    same_as_differences(p.q.data, loss, kernels.dq.data, reference.dq.data);
    same_as_differences(p.k.data, loss, kernels.dk.data, reference.dk.data);
    same_as_differences(p.v.data, loss, kernels.dv.data, reference.dv.data);
    if (added) same_as_differences(added->data, loss, kernels.dbias.data, reference.dbias.data);
}

}  // namespace

TEST_CASE("thresholds: gradients are central differences, of every kind and of a user's", "[plain][thresholds]")
{
    for_each_threshold([](const char* name, const auto& normalizer) {
        INFO(name);
        judge(normalizer, nullptr, heed::scale{0.7});
        judge(normalizer, nullptr, heed::scale{0.1});
    });
}

TEST_CASE("thresholds: gradients go on through score maps", "[plain][thresholds]")
{
    tensor<double> added = normal<double>({1, 4, 3, 40}, 9, 0.1);
    judge(heed::entmax15{}, &added, heed::scale{0.7}, heed::softcap{3.}, heed::bias{added.in()});
    judge(own_share{}, &added, heed::scale{0.7}, heed::softcap{3.}, heed::bias{added.in()});
}

TEST_CASE("thresholds: gradients in float are those in double, rounded", "[plain][thresholds]")
{
    const gradient_problem<float> p(problem<float>(2, 4, 2, 50, 700, 32, 24));
    const auto judge_in_float = [&](const auto& normalizer) {
        threshold_problem of(p, normalizer, heed::causal{}, heed::scale{0.2});
        of.attend();
        const auto kernels = of.backward();
        const auto reference = p.reference<double>(of.plain);
        const auto close = [](const tensor<float>& a, const tensor<double>& b) {
            double largest = 0, off = 0;
            for (std::size_t i = 0; i < b.data.size(); ++i) {
                largest = std::max(largest, std::fabs(b.data[i]));
                off = std::max(off, std::fabs(static_cast<double>(a.data[i]) - b.data[i]));
            }
            CAPTURE(off / largest);
            REQUIRE(off <= 64 * 0x1p-24 * largest);
        };
        close(kernels.dq, reference.dq);
        close(kernels.dk, reference.dk);
        close(kernels.dv, reference.dv);
    };
    judge_in_float(heed::entmax15{});
    judge_in_float(heed::clipped_softmax{-0.02, 1.1});
}
