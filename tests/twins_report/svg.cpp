// SPDX-License-Identifier: MIT
// What the pictures are drawn with.
#include "axes.hpp"
#include "utf8.hpp"
#include "xml.hpp"

#include <catch2/catch.hpp>

TEST_CASE("bytes that are no UTF-8 are replaced one by one, all others kept")
{
    const std::string bad = "\xEF\xBF\xBD";
    for (const std::string good :
         {"", "plain", "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x99\x82", "\xEF\xBF\xBF", "\xED\x9F\xBF"})
        REQUIRE(plot::valid_utf8(good) == good);
    REQUIRE(plot::valid_utf8("a\xFF"
                             "b") == "a" + bad + "b");
    REQUIRE(plot::valid_utf8("\xC3") == bad);  // cut off
    REQUIRE(plot::valid_utf8("\xE2\x82") == bad + bad);
    REQUIRE(plot::valid_utf8("\xA4") == bad);            // no beginning
    REQUIRE(plot::valid_utf8("\xC0\xAF") == bad + bad);  // a longer spelling of /
    REQUIRE(plot::valid_utf8("\xE0\x9F\xBF") == bad + bad + bad);
    REQUIRE(plot::valid_utf8("\xED\xA0\x80") == bad + bad + bad);            // a surrogate
    REQUIRE(plot::valid_utf8("\xF4\x90\x80\x80") == bad + bad + bad + bad);  // beyond U+10FFFF
    REQUIRE(plot::characters_in("a\xC3\xA4\xF0\x9F\x99\x82") == 3);
}

TEST_CASE("a text of any bytes is an element of well-formed XML")
{
    plot::drawing d(10, 10);
    std::string every;
    for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
    d.text({0, 0}, every);
    const auto found = xml::read(d.str());
    REQUIRE(found.back().name == "text");
    REQUIRE_THAT(found.back().text, Catch::Contains("%&'()*") && Catch::Contains(";<=>?"));
}

TEST_CASE("ticks are round numbers between the ends of an axis")
{
    const auto ticks = [](double low, double high, int intervals) {
        return plot::linear_axis_between(low, high, intervals, "").ticks;
    };
    using Catch::Approx;
    REQUIRE_THAT(ticks(0, 6000, 6), Approx(std::vector<double>{0, 1000, 2000, 3000, 4000, 5000, 6000}));
    REQUIRE_THAT(ticks(1.37, 1.79, 5), Approx(std::vector<double>{1.4, 1.5, 1.6, 1.7}));
    REQUIRE_THAT(ticks(-0.3, 0.3, 3), Approx(std::vector<double>{-0.2, 0, 0.2}));
    REQUIRE_THAT(plot::log_axis_between(1.4, 5.5, "").ticks, Approx(std::vector<double>{2, 3, 4, 5}));
    REQUIRE_THAT(plot::log_axis_between(0.5, 20, "").ticks, Approx(std::vector<double>{0.5, 1, 2, 5, 10, 20}));
    REQUIRE_THAT(plot::log_axis_between(1e-4, 3, "").ticks, Approx(std::vector<double>{1e-4, 1e-3, 0.01, 0.1, 1}));
    REQUIRE(plot::power(1e-5) == "1e-5");
    REQUIRE(plot::power(0.01) == "0.01");
    REQUIRE(plot::power(1000) == "1000");
    REQUIRE(plot::power(1e-12) == "1e-12");
}
