// SPDX-License-Identifier: MIT
// The gradient of models with each normalizer of the table, those of TWINS_EXTRA too.
#include "model_gradient.hpp"

#include <cstdio>

namespace twins {
// Those of the library in double; here a number is a float.
void add_normalizers(normalizer_table<double>&);
void add_extra(normalizer_table<double>&);
}  // namespace twins

TEST_CASE("the gradient of a model is that of its loss, whatever the normalizer")
{
    twins::normalizer_table<double> table;
    twins::add_normalizers(table);
    twins::add_extra(table);
    REQUIRE(table.lines().size() == twins::normalizers().size());
    for (std::size_t n = 0; n < table.lines().size(); ++n) {
        CHECK(table.lines()[n].name == twins::normalizers()[n].name);
        test::check_gradient(table, n);
    }
}
