// SPDX-License-Identifier: MIT
// The table: what may stand in it, and what its kernels refuse.
#include "../../examples/twins/normalizers.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace twins;

TEST_CASE("a line of the table is refused with a sentence where it cannot stand in it")
{
    normalizer_table<float> table;
    const kernels<float> plain{nullptr, false}, with_number{nullptr, true};
    const auto refusal = [&](const normalizer& line, const kernels<float>& of) {
        try {
            table.add(line, of);
        } catch (const std::logic_error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    const auto zero = [](int64) { return 0.0; };
    const std::string of = "the table of normalizers: ";
    REQUIRE(refusal({"mine", "1 / n"}, plain).empty());
    CHECK(refusal({"mine", "2 / n"}, plain) == of + "\"mine\" is there twice");
    for (const std::string name : {"", "Mine", "mine too", "-mine", "mine/2", "m\n"})
        CHECK(refusal({name, "1"}, plain) ==
              of + "\"" + name + "\" is no name: a small letter, then small letters, digits, - . and _");
    CHECK(refusal({"tokenizer", "1"}, plain) == of + "\"tokenizer\" is the name of another file");
    CHECK(refusal({"bare", ""}, plain) == of + "\"bare\" has no formula, which --help and reports show");
    CHECK(refusal({"long", "1\n2"}, plain) == of + "\"long\" has a formula of more than one line");
    CHECK(refusal({"taught", "1", zero}, plain) ==
          of + "\"taught\" learns a number a head, but neither its normalizer has a log_offset() nor a score map a "
               "parameter");
    CHECK(refusal({"taught", "1", zero}, with_number).empty());
    CHECK(table.lines().size() == 2);
}

TEST_CASE("the factors of scalable softpick begin where their mean over the context is softmax's 1")
{
    const normalizer& n = normalizer_named("scalable-softpick");
    double sum = 0;
    for (int keys = 1; keys <= 256; ++keys) sum += n.learned_from(256) * std::log(keys);
    CHECK(sum / 256 == Approx(1));
    CHECK(n.learned_from(1) == 1);
}

TEST_CASE("elastic refuses a model of more heads than it has offsets for")
{
    constexpr int64 heads = 1025;
    const heed::extents size{1, heads, 1, 2};
    std::vector<float> x(heads * 2), out(x.size()), slopes(x.size()), shift(heads), mass(heads);
    std::vector<heed::row_threshold<float>> thresholds(heads);
    const auto in = heed::bhsd(static_cast<const float*>(x.data()), size);
    const attention_tensors<float> tensors{in,
                                           in,
                                           in,
                                           heed::bhsd(out.data(), size),
                                           {shift.data(), mass.data()},
                                           thresholds.data(),
                                           heed::bhsd(slopes.data(), size)};
    CHECK_THROWS_WITH(make_attention("elastic", 16)->forward(tensors, nullptr), "elastic: 1025 heads, at most 1024");
}
