// SPDX-License-Identifier: MIT
// A real trained model: golden tokens, golden logits, and a loader that survives anything. Its caches are in
// storyteller_caches.cpp, and the other forms of its attention in storyteller_forms.cpp.
#include "stories260k.hpp"

#include <heed/executor/threads.hpp>

#include <random>

using namespace llama2c;
using namespace stories260k;

TEST_CASE("stories260K reproduces the golden tokens, with one thread and with two", "[stories260k]")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const tokenizer words(read_file(folder + "tok512.bin"), model.c.vocabulary, "tokenizer");
    const std::vector<int> golden = golden_tokens(), prompt = words.encode("Once upon a time");
    REQUIRE(golden.size() == 256);
    REQUIRE(std::equal(prompt.begin(), prompt.end(), golden.begin()));
    REQUIRE(greedy(model, *softmax_over(model, {}, {}), prompt, 256) == golden);
    heed::thread_pool pool(2);
    REQUIRE(greedy(model, *softmax_over(model, {}, pool), prompt, 256) == golden);
}

TEST_CASE("stories260K reproduces the golden logits, in one call and token by token", "[stories260k]")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const std::vector<char> bytes = read_file(folder + "golden_logits.f32");
    REQUIRE(bytes.size() == 64 * 512 * sizeof(float));
    matrix golden(64, 512);
    std::memcpy(golden.data(), bytes.data(), bytes.size());
    std::vector<int> ids = golden_tokens();
    ids.resize(64);

    const auto whole = softmax_over(model, {}, {}), stepwise = softmax_over(model, {}, {});
    const matrix logits = transformer(model, *whole).forward({ids});
    matrix steps(64, 512);
    for (int i = 0; i < 64; ++i)
        steps.row(i) = transformer(model, *stepwise).forward({{ids[static_cast<std::size_t>(i)]}});
    const float error = (logits - golden).cwiseAbs().maxCoeff(), step_error = (steps - golden).cwiseAbs().maxCoeff();
    std::printf("stories260K: logits differ from the golden ones by %.1e (one call), %.1e (token by token)\n",
                static_cast<double>(error), static_cast<double>(step_error));
    REQUIRE(error < 1e-4f);
    REQUIRE(step_error < 1e-4f);
    REQUIRE(perplexity(logits, ids) == Approx(perplexity(golden, ids)).epsilon(1e-5));
}

TEST_CASE("the storyteller's command line", "[stories260k]")
{
    if (!data_is_there()) return;
    const auto [ids, status] = tell(files + "--prompt 'Once upon a time' --tokens 251 --ids 2>/dev/null");
    REQUIRE(status == 0);
    std::string golden;
    for (const int id : golden_tokens()) golden += std::to_string(id) + "\n";
    REQUIRE(ids == golden);
    REQUIRE(tell(files + "--prompt 'Once upon a time' --tokens 251 --ids --threads 2 2>/dev/null").first == golden);
    const std::string speed = tell(files + "--tokens 12 --ids 2>&1 >/dev/null").first;
    REQUIRE(speed.rfind("12 tokens, ", 0) == 0);
    REQUIRE(speed.find(" tokens/s; cache f32: 12 of 512 tokens") != std::string::npos);
    REQUIRE(tell(files + "--prompt 'Once upon a time' --tokens 12 2>/dev/null").first ==
            "Once upon a time, there was a little girl named Lily. She\n");
    for (const std::string name : {"softmax1", "softmax_sink", "softpick", "sigmoid", "relu1", "relu2"})
        REQUIRE(tell(files + "--tokens 20 --normalizer " + name).second == 0);
    REQUIRE(tell(files + "--tokens 30 --temperature 1 --seed 7 2>/dev/null") ==
            tell(files + "--tokens 30 --temperature 1 --seed 7 2>/dev/null"));
    REQUIRE(tell(files + "--tokens 100000").second == 0);  // ends with the context

    std::string long_prompt;
    for (int i = 0; i < 1000; ++i) long_prompt += " day";
    refused(files + "--prompt '" + long_prompt + "'", "the model's context has 512");
    refused(files + "--tokens -1", "--tokens -1: a whole number");
    refused(files + "--tokens 3x", "--tokens 3x: a whole number");
    refused(files + "--threads 0", "--threads 0");
    refused(files + "--temperature hot", "--temperature hot");
    refused(files + "--normalizer hardmax", "normalizer hardmax: is none of softmax");
    refused(files + "--normalizer sink", "sinks: 5 lines of 8 logits are needed");
    refused(files + "--what", "--what: unknown option");
    refused(files + "--prompt", "--prompt: needs a value");
    refused("/nowhere " + folder + "tok512.bin", "/nowhere: cannot be opened");
    refused(folder + "tok512.bin " + folder + "tok512.bin", "not a llama2.c checkpoint");
    refused(folder + "stories260K.bin " + folder + "golden_story.txt", "golden_story.txt");
    refused(folder, "1 files given");
}

TEST_CASE("the storyteller refuses a folder where a file is expected, wherever that is", "[stories260k]")
{
    if (!data_is_there()) return;
    refused(folder + " " + folder + "tok512.bin", folder + ": is a directory");
    refused(folder + "stories260K.bin " + folder, folder + ": is a directory");
    for (const std::string option : {"--batch ", "--score "})
        refused(files + option + folder, folder + ": is a directory");
}

TEST_CASE("help is asked for and comes on stdout, a mistake is told on stderr")
{
    const auto [help, code] = tell("--help 2>/dev/null");
    REQUIRE(code == 0);
    REQUIRE(help.rfind("usage: storyteller CHECKPOINT TOKENIZER", 0) == 0);
    REQUIRE(tell("x y --help 2>/dev/null") == std::pair{help, 0});
    REQUIRE(tell("x 2>/dev/null") == std::pair{std::string(), 2});
}

TEST_CASE("a story that cannot be printed is an error", "[stories260k]")
{
    if (!data_is_there()) return;
    for (const std::string how : {"> /dev/full", ">&-"}) {
        INFO(how);
        for (const std::string& what : {std::string("--tokens 20 "), std::string("--tokens 20 --ids "),
                                        "--score " + folder + "golden_story.txt "}) {
            const auto [text, code] = tell(files + what + "2>&1 " + how);
            INFO(text);
            CHECK(code == 2);
            CHECK(text.find("storyteller: stdout: what was printed did not arrive: ") != std::string::npos);
        }
        CHECK(tell("--help 2>&1 " + how).second == 2);
    }
}

TEST_CASE("the loader refuses truncated, oversized and damaged files", "[stories260k]")
{
    if (!data_is_there()) return;
    const std::vector<char> model = read_file(folder + "stories260K.bin"), words = read_file(folder + "tok512.bin");
    const auto refuses = [](auto load) {
        try {
            load();
        } catch (const input_error& e) {
            return std::string(e.what()).find('\n') == std::string::npos;
        }
        return false;
    };
    std::mt19937_64 random(1);
    for (int i = 0; i < 2000; ++i) {
        auto cut = model;
        cut.resize(i < 64 ? static_cast<std::size_t>(i) : random() % model.size());
        REQUIRE(refuses([&] { checkpoint(cut, "cut"); }));
        auto short_words = words;
        short_words.resize(random() % words.size());
        REQUIRE(refuses([&] { tokenizer(short_words, 512, "cut"); }));
    }
    for (const std::size_t extra : {1u, 4u, 1000u}) {
        auto longer = model;
        longer.insert(longer.end(), extra, 0);
        REQUIRE(refuses([&] { checkpoint(longer, "long"); }));
        auto longer_words = words;
        longer_words.insert(longer_words.end(), extra, 0);
        REQUIRE(refuses([&] { tokenizer(longer_words, 512, "long"); }));
    }
    int accepted = 0;
    for (int i = 0; i < 3000; ++i) {  // damaged headers: refused, or (a sign bit of weight 0) the same sizes
        auto damaged = model;
        for (int n = 0; n < 1 + i % 4; ++n) damaged[random() % 28] = static_cast<char>(random());
        if (std::memcmp(damaged.data(), model.data(), 28) == 0) continue;
        accepted += !refuses([&] { checkpoint(damaged, "damaged"); });
        auto bad_words = words;
        for (int n = 0; n < 3; ++n) bad_words[random() % words.size()] = static_cast<char>(random());
        try {
            tokenizer(bad_words, 512, "damaged");
        } catch (const input_error&) {
        }
    }
    REQUIRE(accepted == 0);
}
