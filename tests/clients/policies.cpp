// SPDX-License-Identifier: MIT
// The examples' own policies keep the contract.
#include "../../examples/clients/compute_op.hpp"
#include "../masks.hpp"

#include <heed/testing.hpp>

#include <catch2/catch.hpp>

#include <string>

namespace {

std::string says(const heed::status& s) { return s.message(); }

}  // namespace

TEST_CASE("the policies of compute_op keep the contract, with and without tables")
{
    using namespace compute_op::detail;
    const float logits[4] = {-1, 0, 1, 2}, slopes[4] = {1, 0.5f, 0.25f, 0.125f};
    REQUIRE(says(heed::check(optional_sinks{logits, 4})) == "ok");
    REQUIRE(says(heed::check(optional_sinks{nullptr, 0})) == "ok");
    const heed::problem p{2, 4, 2, 13, 700};
    REQUIRE(says(heed::check(optional_softcap{20}, p)) == "ok");
    REQUIRE(says(heed::check(optional_softcap{0}, p)) == "ok");
    const auto numbers = test::normal<float>({1, 2, 13, 700}, 1);
    const auto left_out = [](int64_t i, int64_t j) { return i % 2 ? j % 3 == 0 : j > 300 + 30 * i; };
    const auto at = [&](int64_t, int64_t h, int64_t i, int64_t j) {  // keys from 512 on have the bias 0
        return left_out(i, j) ? -INFINITY : j < 512 ? numbers.in().row(0, h, i)[j] : 0.f;
    };
    const test::table<float> floats({1, 2, 13, 700}, 700, at);
    const test::table<heed::f16> halves({1, 2, 13, 700}, 700, [&](auto... x) { return heed::f16(at(x...)); });
    const heed::mask_summary none;
    const heed::view<const float> no_floats;
    const heed::view<const heed::f16> no_halves;
    for (const bool known : {true, false}) {
        REQUIRE(says(heed::check(sloped_mask{halves.view(), no_floats, known ? halves.summary : none, slopes}, p)) ==
                "ok");
        REQUIRE(says(heed::check(sloped_mask{no_halves, floats.view(), known ? floats.summary : none, slopes}, p)) ==
                "ok");
    }
    REQUIRE(says(heed::check(sloped_mask{no_halves, no_floats, none, slopes}, p)) == "ok");
}
