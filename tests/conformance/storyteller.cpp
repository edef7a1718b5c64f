// SPDX-License-Identifier: MIT
// A real trained model: golden tokens, golden logits, and a loader that survives anything.
#include "../../examples/llama2c.hpp"

#include <heed/executor/threads.hpp>

#include <catch2/catch.hpp>

#include <array>
#include <cstdio>
#include <filesystem>
#include <random>

using namespace llama2c;

namespace {

const std::string folder = HEED_TEST_DATA "/stories260k/";

bool data_is_there()
{
    if (std::filesystem::exists(folder)) return true;
    WARN("skipped: no " << folder);
    return false;
}

std::vector<int> golden_tokens()
{
    std::ifstream file(folder + "golden_tokens.txt");
    return {std::istream_iterator<int>(file), {}};
}

std::vector<int> greedy(const checkpoint& model, std::vector<int> ids, std::size_t total, heed::executor_ref executor)
{
    transformer story(model, heed::attention{heed::softmax{}, heed::causal{}}, executor);
    matrix logits = story.forward(ids);
    while (ids.size() < total) {
        Eigen::Index best;
        logits.row(logits.rows() - 1).maxCoeff(&best);
        ids.push_back(static_cast<int>(best));
        if (ids.size() < total) logits = story.forward({ids.back()});
    }
    return ids;
}

/// Output and exit status of the storyteller binary.
std::pair<std::string, int> tell(const std::string& arguments)
{
    const std::string command = std::string(HEED_STORYTELLER) + " " + arguments + " 2>&1";
    std::FILE* pipe = popen(command.c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    return {text, WEXITSTATUS(pclose(pipe))};
}

const std::string files = folder + "stories260K.bin " + folder + "tok512.bin ";

}  // namespace

TEST_CASE("stories260K reproduces the golden tokens, with one thread and with two")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const tokenizer words(read_file(folder + "tok512.bin"), model.c.vocabulary, "tokenizer");
    const std::vector<int> golden = golden_tokens(), prompt = words.encode("Once upon a time");
    REQUIRE(golden.size() == 256);
    REQUIRE(std::equal(prompt.begin(), prompt.end(), golden.begin()));
    REQUIRE(greedy(model, prompt, 256, {}) == golden);
    heed::thread_pool pool(2);
    REQUIRE(greedy(model, prompt, 256, pool) == golden);
}

TEST_CASE("stories260K reproduces the golden logits, in one call and token by token")
{
    if (!data_is_there()) return;
    const checkpoint model(read_file(folder + "stories260K.bin"), "model");
    const std::vector<char> bytes = read_file(folder + "golden_logits.f32");
    REQUIRE(bytes.size() == 64 * 512 * sizeof(float));
    matrix golden(64, 512);
    std::memcpy(golden.data(), bytes.data(), bytes.size());
    std::vector<int> ids = golden_tokens();
    ids.resize(64);

    const heed::attention def{heed::softmax{}, heed::causal{}};
    transformer whole(model, def, {});
    const matrix logits = whole.forward(ids);
    transformer stepwise(model, def, {});
    matrix steps(64, 512);
    for (int i = 0; i < 64; ++i) steps.row(i) = stepwise.forward({ids[static_cast<std::size_t>(i)]});
    const float error = (logits - golden).cwiseAbs().maxCoeff(), step_error = (steps - golden).cwiseAbs().maxCoeff();
    std::printf("stories260K: logits differ from the golden ones by %.1e (one call), %.1e (token by token)\n",
                static_cast<double>(error), static_cast<double>(step_error));
    REQUIRE(error < 1e-4f);
    REQUIRE(step_error < 1e-4f);
}

TEST_CASE("the storyteller's command line")
{
    if (!data_is_there()) return;
    const auto [ids, status] = tell(files + "--prompt 'Once upon a time' --tokens 251 --ids");
    REQUIRE(status == 0);
    std::string golden;
    for (const int id : golden_tokens()) golden += std::to_string(id) + "\n";
    REQUIRE(ids == golden);
    REQUIRE(tell(files + "--prompt 'Once upon a time' --tokens 251 --ids --threads 2").first == golden);
    REQUIRE(tell(files + "--prompt 'Once upon a time' --tokens 12").first ==
            "Once upon a time, there was a little girl named Lily. She\n");
    for (const std::string name : {"softmax1", "softmax_sink", "softpick", "sigmoid", "relu1", "relu2"})
        REQUIRE(tell(files + "--tokens 20 --normalizer " + name).second == 0);
    REQUIRE(tell(files + "--tokens 30 --temperature 1 --seed 7") ==
            tell(files + "--tokens 30 --temperature 1 --seed 7"));
    REQUIRE(tell(files + "--tokens 100000").second == 0);  // ends with the context

    const auto refused = [](const std::string& arguments, const std::string& says) {
        const auto [text, code] = tell(arguments);
        INFO(text);
        REQUIRE(code == 2);
        REQUIRE(text.find(says) != std::string::npos);
    };
    std::string long_prompt;
    for (int i = 0; i < 1000; ++i) long_prompt += " day";
    refused(files + "--prompt '" + long_prompt + "'", "the model's context has 512");
    refused(files + "--tokens -1", "--tokens -1: a whole number");
    refused(files + "--tokens 3x", "--tokens 3x: a whole number");
    refused(files + "--threads 0", "--threads 0");
    refused(files + "--temperature hot", "--temperature hot");
    refused(files + "--normalizer hardmax", "is none of softmax");
    refused(files + "--what", "--what: unknown option");
    refused(files + "--prompt", "--prompt: needs a value");
    refused("/nowhere " + folder + "tok512.bin", "/nowhere: cannot be opened");
    refused(folder + "tok512.bin " + folder + "tok512.bin", "not a llama2.c checkpoint");
    refused(folder + "stories260K.bin " + folder + "golden_story.txt", "golden_story.txt");
    refused(folder, "1 files given");
}

TEST_CASE("the loader refuses truncated, oversized and damaged files")
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
