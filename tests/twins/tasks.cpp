// SPDX-License-Identifier: MIT
#include "small_run.hpp"

#include <set>

using namespace twins;

namespace {

std::string letters_of(const std::vector<int>& window)
{
    std::string text;
    for (std::size_t i = 1; i < window.size(); ++i) text += label_of(window[i]);
    return text;
}

}  // namespace

TEST_CASE("bigram-backcopy: after a digit comes the letter before it, and nothing else repeats a rule")
{
    const auto t = make_bigram_backcopy();
    std::vector<int> window(400);
    std::set<std::string> seen;
    std::size_t digits = 0, all = 0;
    for (std::uint64_t n = 0; n < 200; ++n) {
        t->draw(random_stream{n}, window.data(), 400);
        REQUIRE(window[0] == bos);
        const std::string text = letters_of(window);
        seen.insert(text);
        REQUIRE(std::isalpha(text[0]));
        for (std::size_t i = 1; i < text.size(); ++i) {
            REQUIRE(std::isalnum(text[i]));
            digits += std::isdigit(text[i]) != 0;
            if (std::isdigit(text[i]) && i + 1 < text.size()) REQUIRE(text[i + 1] == text[i - 1]);
        }
        all += text.size();
    }
    REQUIRE(seen.size() == 200);
    const double share = static_cast<double>(digits) / static_cast<double>(all);
    REQUIRE(share == Approx(0.2 / 1.2).margin(0.005));  // a digit brings a copy along
}

TEST_CASE("a text's held-out blocks are never drawn from in training")
{
    std::string text(32 * 65536, 'a');
    for (std::size_t block = 15; block < 32; block += 16)
        std::fill_n(text.begin() + static_cast<std::ptrdiff_t>(block * 65536), 65536, 'b');
    REQUIRE(held_out(text) == std::string(2 * 65536, 'b'));
    const auto t = make_text_task(text, true, 64, "text");
    std::vector<int> window(65);
    for (std::uint64_t n = 0; n < 2000; ++n) {
        t->draw(random_stream{n}, window.data(), 65);
        REQUIRE(window[0] == bos);
        REQUIRE(letters_of(window) == std::string(64, 'a'));
        t->draw_validation(static_cast<int64>(n), window.data(), 65);
        REQUIRE(letters_of(window) == std::string(64, 'b'));
    }
    const auto all = make_text_task("abcdef", false, 3, "text");
    std::vector<int> three(4);
    all->draw_validation(1, three.data(), 4);
    REQUIRE(letters_of(three) == "def");
    REQUIRE(test::refusal([] { make_text_task("short", true, 64, "f"); }).rfind("f: 5 bytes are too few", 0) == 0);
    REQUIRE(test::refusal([] { make_text_task("short", false, 64, "f"); }) ==
            "f: 5 bytes are less than a window of 64");
}

TEST_CASE("the tokenizer file turns bytes into their tokens and back")
{
    const std::string file = byte_tokenizer();
    const llama2c::tokenizer words({file.begin(), file.end()}, byte_vocabulary, "bytes");
    std::string text;
    for (int b = 1; b < 128; ++b) text += static_cast<char>(b);
    std::vector<int> expected{bos};
    for (const char c : text) expected.push_back(token_of(static_cast<unsigned char>(c)));
    REQUIRE(words.encode(text) == expected);
    std::string back;
    for (std::size_t i = 1; i < expected.size(); ++i) back += words.decode(expected[i - 1], expected[i]);
    REQUIRE(back == text);
    for (int b = 0; b < 256; ++b)
        REQUIRE(words.decode(token_of('x'), token_of(static_cast<unsigned char>(b))) ==
                std::string(1, static_cast<char>(b)));
}
