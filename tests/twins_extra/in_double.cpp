// SPDX-License-Identifier: MIT
// The file to copy, in double: its functors keep heed's contract, and gradients of models with them are those of their
// loss.
#define TWINS_NUMBER double
#include "../../examples/twins/extra.cpp"

#include "../twins/model_gradient.hpp"

#include <heed/testing.hpp>

TEST_CASE("the functors of the file to copy keep the contract")
{
    const auto says = [](const heed::status& s) { return std::string(s.message()); };
    CHECK(says(heed::check(elu{})) == "ok");
    CHECK(says(heed::check(entmax133{})) == "ok");
    const float factors[] = {0.25f, -1, 2, 0};
    CHECK(says(heed::check(log_distance{factors}, heed::problem{2, 4, 2, 13, 1100})) == "ok");
}

TEST_CASE("the gradient of a model is that of its loss, with the normalizers of the file to copy")
{
    twins::normalizer_table<double> table;
    twins::add_extra(table);
    REQUIRE(table.lines().size() == 3);
    for (std::size_t n = 0; n < table.lines().size(); ++n) test::check_gradient(table, n);
}
