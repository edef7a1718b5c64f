// SPDX-License-Identifier: MIT
// Finished models as files, and what storyteller makes of them.
#include "small_run.hpp"

#include "../../examples/twins/files.hpp"
#include "../../examples/twins/quantise.hpp"
#include "../../examples/twins/transformer.hpp"

#include <array>

using namespace twins;
using test::refusal;

namespace {

/// A model of random weights that attends sharply, as trained ones do.
trained_model random_model(const std::string& normalizer, bool tied, bool bf16)
{
    settings s = test::small_run(normalizer, 1);
    s.shape.shared_classifier = tied;
    const layout at = layout_of(s.shape, normalizer);
    training_state state(at, 5);
    const tensors<float> w(at, state.parameters.data());
    for (int64 l = 0; l < s.shape.layers; ++l) {  // it depends on its attention
        w(tensor::wq, l) *= 4;
        w(tensor::wk, l) *= 4;
        w(tensor::wo, l) *= 8;
        w(tensor::w2, l) *= 0.5f;
    }
    const tensor_place& learned = at.of(tensor::of_heads);
    for (int64 i = learned.offset; i < learned.end(); ++i)
        state.parameters[static_cast<std::size_t>(i)] = 0.5f * static_cast<float>(i - learned.offset) - 1;
    state.curve = {{1, 2}, {3, 2.5}, {3.25, 2.75}};
    return finished(s, at, state, 2.5, bf16);
}

std::vector<int> greedy(const trained_model& m, const std::string& prompt)
{
    const auto attend = make_attention(m.beside.normalizer, m.shape.context);
    transformer<float> model(m.shape, *attend);
    std::vector<int> ids{bos};
    for (const char c : prompt) ids.push_back(token_of(static_cast<unsigned char>(c)));
    while (static_cast<int64>(ids.size()) <= m.shape.context) {  // the last one is told, but never read
        const matrix<float>& logits = model.forward(m.weights(), ids.data(), static_cast<int64>(ids.size()));
        Eigen::Index best;
        logits.row(logits.rows() - 1).maxCoeff(&best);
        if (best == bos) break;
        ids.push_back(static_cast<int>(best));
    }
    return ids;
}

std::string told(const std::string& arguments)
{
    std::FILE* const pipe = popen((std::string(HEED_STORYTELLER) + " " + arguments + " 2>/dev/null").c_str(), "r");
    REQUIRE(pipe);
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) text.append(buffer.data(), n);
    pclose(pipe);
    return text;
}

}  // namespace

TEST_CASE("a model comes back from its files as it was, or rounded to bf16")
{
    const test::folder folder("twins-models");
    for (const auto& [name, formula, learned_from] : normalizers())
        for (const bool tied : {true, false})
            for (const bool bf16 : {true, false}) {
                const trained_model m = random_model(name, tied, bf16);
                write_model(m, folder / "m.bin");
                const trained_model back = read_model(folder / "m.bin");
                REQUIRE(back.beside.normalizer == name);
                REQUIRE(back.beside.facts == m.beside.facts);
                REQUIRE(back.curve.step == m.curve.step);
                REQUIRE(back.curve.validation == m.curve.validation);
                REQUIRE(back.parameters.size() == m.parameters.size());
                std::vector<float> expected = m.parameters;
                if (bf16)
                    for (int64 i = 0; i < m.at.of(tensor::classifier).end(); ++i)
                        expected[static_cast<std::size_t>(i)] = heed::bf16(expected[static_cast<std::size_t>(i)]);
                REQUIRE(back.parameters == expected);
            }
}

/// The normalizers that storyteller has kernels for.
const std::vector<std::string> in_storyteller{"softmax", "softpick",     "softmax1",      "sink",
                                              "sigmoid", "relu-softmax", "rectified-only"};

TEST_CASE("storyteller continues a text as the model itself does, with its normalizer, sinks and bf16 weights")
{
    const test::folder folder("twins-stories");
    const std::string words = byte_tokenizer();
    write_whole(folder / "tokenizer.bin", words);
    std::vector<std::vector<int>> all;
    for (const std::string& name : in_storyteller) {
        write_model(random_model(name, name != "sigmoid", true), folder / "m.bin");
        const std::vector<int> ids = greedy(read_model(folder / "m.bin"), "In the");
        std::string expected;
        for (const int id : ids) expected += std::to_string(id) + "\n";
        INFO(name);
        CHECK(ids.size() > 10);
        CHECK(told(folder / "m.bin" + " " + (folder / "tokenizer.bin") + " --prompt 'In the' --ids") == expected);
        all.push_back(ids);
    }
    std::sort(all.begin(), all.end());
    CHECK(std::unique(all.begin(), all.end()) - all.begin() >= 5);  // the normalizer makes a difference
}

TEST_CASE("sidecars that say something else than the checkpoint are refused in one line")
{
    const test::folder folder("twins-sidecars");
    const std::string model = folder / "m.bin", beside = folder / "m.heed";
    write_model(random_model("sink", true, true), model);
    const std::vector<char> bytes = llama2c::read_file(beside);
    const std::string good(bytes.begin(), bytes.end());
    const auto with = [&](const std::string& what, const std::string& instead) {
        std::string text = good;
        text.replace(text.find(what), what.size(), instead);
        write_whole(beside, text);
        return refusal([&] { read_model(model); });
    };
    REQUIRE(with("task", "task").empty());
    REQUIRE(with("heed model 1", "heed model 2") == beside + ": does not begin with \"heed model 1\"");
    REQUIRE(with("element bf16", "element f32").find("but a checkpoint of these sizes has") != std::string::npos);
    REQUIRE(with("element bf16", "element f8") == beside + ": line 3: element f8 is neither f32 nor bf16");
    REQUIRE(
        with("normalizer sink", "normalizer hardmax").rfind(beside + ": normalizer hardmax: is none of softmax", 0) ==
        0);
    REQUIRE(with("sinks -1", "sinks -1 2") == beside + ": sinks: 2 lines of 2 logits are needed");
    REQUIRE(with("sinks -1", "sinks nan") == beside + ": line 4: nan is not a number");
    REQUIRE(with("sinks -1", "sinks 1e99") == beside + ": line 4: 1e99 is not a number");  // was read as infinity
    REQUIRE(with("sinks -1", "sinks").find("2 lines of 2 logits") != std::string::npos);
    REQUIRE(with("curve 1", "curve one").find("a step and two losses") != std::string::npos);
    REQUIRE(with("task", "\n").find("a key, a space and a value") != std::string::npos);
}

TEST_CASE("what heads have learnt stands in the sidecar, a line a layer, and is asked for")
{
    const test::folder folder("twins-learned");
    const std::string model = folder / "m.bin", beside = folder / "m.heed";
    write_model(random_model("scalable-softpick", true, false), model);
    const std::vector<char> bytes = llama2c::read_file(beside);
    const std::string good(bytes.begin(), bytes.end());
    REQUIRE(good.find("\nlearned -1 -0.5\nlearned 0 0.5\n") != std::string::npos);
    const auto with = [&](const std::string& instead) {
        std::string text = good;
        const std::string what = "learned 0 0.5";
        text.replace(text.find(what), what.size(), instead);
        write_whole(beside, text);
        return refusal([&] { read_model(model); });
    };
    REQUIRE(with("learned 0 0.5").empty());
    REQUIRE(with("learnt 0 0.5") == beside + ": learned: 2 lines of 2 numbers are needed");
    REQUIRE(with("learned 0 0.5 1") == beside + ": learned: 2 lines of 2 numbers are needed");
    REQUIRE(with("learned 0 half") == beside + ": learned 0 half: half is not a number");
    REQUIRE(with("learned 0 1e99") == beside + ": learned 0 1e99: 1e99 is not a number");
}

TEST_CASE("rounding to few bits: the values of a row, by hand")
{
    std::vector<float> row{-1, -0.4f, 0, 0.3f, 0.6f, 2};
    round_row(row.data(), 6, 2);  // step 1: -1, 0, 1, 2
    REQUIRE(row == std::vector<float>{-1, 0, 0, 0, 1, 2});
    std::vector<float> positive{1, 2, 3};
    round_row(positive.data(), 3, 1);  // 0 or 3
    REQUIRE(positive == std::vector<float>{0, 3, 3});
    std::vector<float> zeros(4);
    round_row(zeros.data(), 4, 3);
    REQUIRE(zeros == std::vector<float>(4));

    const trained_model m = random_model("softmax", true, false);
    const auto eight = quantised_parameters(m.at, m.parameters, 8);
    for (const tensor_place& t : m.at.places()) {
        const bool rounded = t.name[0] == 'w';
        bool same = true;
        for (int64 i = t.offset; i < t.end(); ++i)
            same = same && eight[static_cast<std::size_t>(i)] == m.parameters[static_cast<std::size_t>(i)];
        INFO(t.name);
        REQUIRE((t.size() == 0 || same == !rounded));
    }
}
