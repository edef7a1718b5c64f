// SPDX-License-Identifier: MIT
// Attention masks of every element keep the contracts of a mask and of a score map.
#include "masks.hpp"

#include <catch2/catch.hpp>

#include <heed/testing.hpp>

#include <string>

using namespace test;

namespace {

const heed::problem sizes{2, 4, 2, 13, 700};

/// Numbers, zeros and -inf, of which some rows have runs and some have not; in the first tile of batch 0 all is 0.
template <class E>
E mixed(int64 b, int64 h, int64 i, int64 j)
{
    if (i % 4 == 1 ? j % 5 == 0 : j > 300 + 20 * i) return entry<E>(false);
    if constexpr (std::is_same_v<E, bool>) return true;
    else
        return static_cast<E>(
            static_cast<heed::compute_t<E>>(b == 0 && j < 512 ? 0 : static_cast<double>((j + i + h) % 9) / 4 - 1));
}

template <class E>
void keeps_the_contract()
{
    const table<E> t({2, 4, 13, 700}, 703, mixed<E>);
    for (const bool with_summary : {true, false})
        REQUIRE(std::string(heed::check<heed::compute_t<E>>(t.mask(with_summary), sizes).message()) == "ok");
}
template <>
void keeps_the_contract<bool>()
{
    const table<bool> t({2, 1, 13, 700}, 703, mixed<bool>);
    for (const bool with_summary : {true, false})
        REQUIRE(std::string(heed::check(t.mask(with_summary), sizes).message()) == "ok");
}

}  // namespace

TEST_CASE("attention masks keep the contract, with a summary and without")
{
    SECTION("f16") { keeps_the_contract<heed::f16>(); }
    SECTION("float") { keeps_the_contract<float>(); }
    SECTION("double") { keeps_the_contract<double>(); }
    SECTION("bool") { keeps_the_contract<bool>(); }
}

TEST_CASE("a table that was changed behind its summary's back is told from it")
{
    table<heed::f16> t({2, 4, 13, 700}, 703, mixed<heed::f16>);
    for (int64 j = 0; j < 200; ++j) *t.at(0, 2, 4, j) = heed::f16(0.5f);
    REQUIRE_THAT(std::string(heed::check(t.mask(), sizes).message()),
                 Catch::Matchers::Contains("check: changes: says false of the keys ["));
}
