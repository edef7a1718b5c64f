// SPDX-License-Identifier: MIT
// compute<bf16>: its error bound, its invariances, and what a build without such dot products says.
#include "tensors.hpp"

#include <heed/executor/threads.hpp>
#include <heed/reference.hpp>

#include <catch2/catch.hpp>

#include <cmath>
#include <iostream>

using namespace test;
using heed::bf16;

namespace {

constexpr heed::compute<bf16> native{};

tensor<double> reference(const problem<bf16>& p, const auto& def, bool absolute_values = false)
{
    problem<bf16> of = p;
    if (absolute_values)
        for (bf16& x : of.v.data) x = bf16(std::fabs(float(x)));
    tensor<double> out(p.out_size());
    heed::or_throw(heed::reference(def, of.q.in(), of.k.in(), of.v.in(), out.view()));
    return out;
}

/// The largest error as a fraction of the bound in compute's comment, with the output's own rounding.
double fraction_of_bound(const problem<bf16>& p, const auto& def, const auto& with)
{
    using normalizer = typename std::decay_t<decltype(def)>::normalizer_type;
    const tensor<bf16> out = p.attend(with);
    const tensor<double> exact = reference(p, def), magnitude = reference(p, def, true);
    double largest = 0;
    for (std::size_t i = 0; i < out.data.size(); ++i) {
        const double o = std::fabs(exact.data[i]);
        const double bound = 0x1p-8 * (magnitude.data[i] + (heed::has_mass_v<normalizer> ? 2 : 1) * o) * 1.02 + 1e-30;
        largest = std::max(largest, std::fabs(float(out.data[i]) - exact.data[i]) / bound);
    }
    return largest;
}

bool same_or_both_nan(const std::vector<bf16>& a, const std::vector<bf16>& b)
{
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i].bits != b[i].bits && !(std::isnan(float(a[i])) && std::isnan(float(b[i])))) return false;
    return a.size() == b.size();
}

}  // namespace

#define NEEDS_DOTS                                                                                                     \
    if (!heed::simd::has_bf16_dots) {                                                                                  \
        SUCCEED("this build has no dot products of bf16");                                                             \
        return;                                                                                                        \
    }

TEST_CASE("a build without dot products of bf16 says so, and writes nothing")
{
    const problem<bf16> p(1, 2, 1, 3, 20, 8, 8);
    const heed::attention def{heed::softmax{}, native};
    const heed::plan plan(def, p.q.in(), p.k.in(), p.v.in());
    if (heed::simd::has_bf16_dots) {
        REQUIRE(plan.status());
        REQUIRE(std::string(plan.describe().text).find(", bf16, ") != std::string::npos);
        return;
    }
    REQUIRE(plan.status().code() == heed::errc::unsupported);
    REQUIRE(std::string(plan.status().message()) ==
            "compute<bf16>: this build, for " + std::string(heed::isa_name()) + ", has no dot products of bf16");
    tensor<bf16> out(p.out_size(), bf16(-7.f));
    const auto before = out.data;
    REQUIRE_FALSE(heed::attend(def, p.q.in(), p.k.in(), p.v.in(), out.view()));
    REQUIRE(same_bits(out.data, before));
}

TEST_CASE("compute<bf16> keeps the bound that its comment states")
{
    NEEDS_DOTS
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        double largest = 0;
        for (const double spread : {0.03, 1.0, 8.0})
            for (const int64 queries : {1, 5, 30})
                for (const int64 dim : {64, 33, 8}) {
                    const problem<bf16> p(1, 4, 2, queries, 601, dim, dim + 3, 7, spread);
                    largest = std::max(largest, fraction_of_bound(p, heed::attention{normalizer, heed::causal{}},
                                                                  heed::attention{normalizer, heed::causal{}, native}));
                    largest =
                        std::max(largest, fraction_of_bound(p, heed::attention{normalizer, heed::softcap{5}},
                                                            heed::attention{normalizer, native, heed::softcap{5}}));
                }
        std::cout << "compute<bf16>, " << name << ": largest error " << largest << " of the bound\n";
        INFO(name);
        CHECK(largest <= 1);
    });
}

TEST_CASE("with equal keys and a V of one sign compute<bf16> errs by the output's rounding alone")
{
    NEEDS_DOTS
    problem<bf16> p(1, 1, 1, 20, 300, 16, 24);
    for (int64 j = 1; j < 300; ++j) std::copy_n(p.k.data.begin(), 16, p.k.data.begin() + j * 16);
    std::fill(p.v.data.begin(), p.v.data.end(), bf16(1.3f));
    const tensor<bf16> out = p.attend(heed::attention{heed::softmax{}, native});
    for (const bf16 x : out.data) REQUIRE(float(x) == float(bf16(1.3f)));
}

TEST_CASE("in compute<bf16> chunks, threads and grouping change no bit")
{
    NEEDS_DOTS
    problem<bf16> p(1, 4, 2, 40, 1100, 24, 19);
    p.v.data[7 * 19] = bf16(std::numeric_limits<float>::quiet_NaN());
    p.v.data[900 * 19 + 3] = bf16(std::numeric_limits<float>::infinity());
    for (std::size_t i = 19 * 30; i < 19 * 90; ++i) p.v.data[i] = bf16(1e-38f * float(p.v.data[i]));
    for_each_normalizer(4, [&](const char* name, auto normalizer) {
        INFO(name);
        const heed::attention def{normalizer, heed::causal{}, native};
        const tensor<bf16> whole = p.attend(def);
        heed::thread_pool pool(3);
        REQUIRE(same_or_both_nan(p.attend(def, {.executor = pool}).data, whole.data));
        tensor<bf16> out(p.out_size());
        for (int64 i = 0; i < 40; ++i) {
            const int64 keys = 1060 + i + 1;
            heed::or_throw(heed::attend(def, tokens(p.q.in(), i, 1), tokens(p.k.in(), 0, keys),
                                        tokens(p.v.in(), 0, keys), tokens(out.view(), i, 1)));
        }
        REQUIRE(same_or_both_nan(out.data, whole.data));
    });
}
