// SPDX-License-Identifier: MIT
// The examples' own policies keep the contract.
#include "../../examples/guide/ablations.hpp"
#include "../../examples/clients/compute_op.hpp"
#include "../tensors.hpp"

#include <heed/testing.hpp>

#include <catch2/catch.hpp>

#include <string>

namespace {

std::string says(const heed::status& s) { return s.message(); }

}  // namespace

TEST_CASE("the ablations of softpick keep the contract")
{
    REQUIRE(says(heed::check(ablation::relu_softmax{})) == "ok");
    REQUIRE(says(heed::check(ablation::rectified_only{})) == "ok");
}

TEST_CASE("the policies of compute_op keep the contract, with and without tables")
{
    using namespace compute_op::detail;
    const float logits[4] = {-1, 0, 1, 2}, slopes[4] = {1, 0.5f, 0.25f, 0.125f};
    REQUIRE(says(heed::check(optional_sinks{logits, 4})) == "ok");
    REQUIRE(says(heed::check(optional_sinks{nullptr, 0})) == "ok");
    const heed::problem p{2, 4, 2, 13, 700};
    REQUIRE(says(heed::check(optional_softcap{20}, p)) == "ok");
    REQUIRE(says(heed::check(optional_softcap{0}, p)) == "ok");
    auto table = test::normal<heed::f16>({1, 2, 13, 700}, 1);
    for (std::size_t i = 0; i < table.data.size(); i += 3) table.data[i].bits = 0xfc00;  // -inf
    REQUIRE(says(heed::check(sloped_mask{table.in(), slopes}, p)) == "ok");
    REQUIRE(says(heed::check(sloped_mask{heed::view<const heed::f16>{}, slopes}, p)) == "ok");
}
