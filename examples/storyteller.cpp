// SPDX-License-Identifier: MIT
// Runs a llama2.c checkpoint with heed's attention: the prompt in one prefill call, then token by token against a
// growing KV cache. A sidecar beside the checkpoint says with which normalizer the model was trained.
#include "ablations.hpp"
#include "arguments.hpp"
#include "sidecar.hpp"

#include <heed/executor/threads.hpp>

#include <chrono>
#include <cstdio>
#include <random>
#include <unistd.h>

namespace {

using namespace llama2c;

const char usage[] = "usage: storyteller CHECKPOINT TOKENIZER [--prompt TEXT] [--tokens N] [--normalizer NAME]\n"
                     "                   [--threads N] [--temperature T] [--seed N] [--ids]\n";

struct settings {
    std::string model, vocabulary, prompt, normalizer;  // empty: the model's own
    int64 tokens = 256, threads = 1, seed = 1;
    double temperature = 0;
    bool ids = false;
};

settings parse(int argc, char** argv)
{
    settings s;
    std::vector<std::string> files;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        const auto value = [&] {
            if (++i >= argc) throw input_error(a + ": needs a value");
            return std::string(argv[i]);
        };
        if (a == "--prompt") s.prompt = value();
        else if (a == "--tokens") s.tokens = whole_number(a, value(), 0, 1 << 20);
        else if (a == "--normalizer") s.normalizer = value();
        else if (a == "--threads") s.threads = whole_number(a, value(), 1, 1024);
        else if (a == "--seed") s.seed = whole_number(a, value(), 0, int64{1} << 62);
        else if (a == "--ids") s.ids = true;
        else if (a == "--temperature") s.temperature = number(a, value(), 100);
        else if (a.rfind("--", 0) == 0) throw input_error(a + ": unknown option");
        else files.push_back(a);
    }
    if (files.size() != 2)
        throw input_error(std::to_string(files.size()) + " files given, a checkpoint and a tokenizer are needed");
    s.model = files[0];
    s.vocabulary = files[1];
    return s;
}

template <class Row>
int next_token(const Row& logits, double temperature, std::mt19937_64& random)
{
    Eigen::Index best;
    const float highest = logits.maxCoeff(&best);
    if (temperature == 0) return static_cast<int>(best);
    std::vector<double> p(static_cast<std::size_t>(logits.size()));
    for (std::size_t i = 0; i < p.size(); ++i)
        p[i] = std::exp((static_cast<double>(logits[static_cast<Eigen::Index>(i)]) - static_cast<double>(highest)) /
                        temperature);
    return std::discrete_distribution<int>(p.begin(), p.end())(random);
}

/// `normalizers`: one for all layers, or one for each.
template <class Normalizer>
void tell(const settings& s, const checkpoint& model, const tokenizer& words,
          const std::vector<Normalizer>& normalizers)
{
    heed::thread_pool pool(static_cast<int>(s.threads));
    std::vector<decltype(heed::attention{normalizers[0], heed::causal{}})> definitions;
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(model.c.layers); ++layer)
        definitions.emplace_back(normalizers[normalizers.size() == 1 ? 0 : layer], heed::causal{});
    transformer story(model, definitions, pool);
    const std::vector<int> prompt = words.encode(s.prompt);
    if (static_cast<int64>(prompt.size()) > model.c.context)
        throw input_error("--prompt: " + std::to_string(prompt.size()) + " tokens, the model's context has " +
                          std::to_string(model.c.context));

    int previous = 0;
    const auto show = [&](int id) {
        if (s.ids) std::printf("%d\n", id);
        else if (id != tokenizer::bos) std::fputs(words.decode(previous, id).c_str(), stdout);
        std::fflush(stdout);
        previous = id;
    };
    for (const int id : prompt) show(id);

    std::mt19937_64 random(static_cast<std::uint64_t>(s.seed));
    const auto start = std::chrono::steady_clock::now();
    int64 told = 0;
    if (s.tokens > 0) {
        matrix logits = story.forward(prompt);
        for (;;) {
            const int id = next_token(logits.row(logits.rows() - 1), s.temperature, random);
            if (id == tokenizer::bos) break;  // the model ends its story
            show(id);
            if (++told == s.tokens || story.position() == model.c.context) break;
            logits = story.forward({id});
        }
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (!s.ids) std::printf("\n");
    if (!s.ids && isatty(STDOUT_FILENO))
        std::printf("\n%lld tokens, %.0f tokens/s\n", static_cast<long long>(told),
                    static_cast<double>(told) / seconds);
}

void run(const settings& s)
{
    const sidecar beside = read_sidecar(s.model);
    const checkpoint model(read_file(s.model), s.model, beside.bf16);
    const tokenizer words(read_file(s.vocabulary), model.c.vocabulary, s.vocabulary);
    const std::string& name = s.normalizer.empty() ? beside.normalizer : s.normalizer;
    const auto with = [&](const auto& normalizer) { tell(s, model, words, std::vector{normalizer}); };
    if (name == "softmax") return with(heed::softmax{});
    if (name == "softmax1") return with(heed::softmax1{});
    if (name == "softmax_sink") {
        const std::vector<float> zeros(static_cast<std::size_t>(model.c.heads), 0.0f);
        return with(heed::softmax_sink{zeros.data(), model.c.heads});
    }
    if (name == "sink") {
        check_sinks(beside, model.c, s.model);
        std::vector<heed::softmax_sink> of_layers;
        for (const auto& logits : beside.sinks) of_layers.emplace_back(logits.data(), model.c.heads);
        return tell(s, model, words, of_layers);
    }
    if (name == "softpick") return with(heed::softpick{});
    if (name == "sigmoid") return with(heed::sigmoid{beside.bias});
    if (name == "relu1") return with(heed::relu<1>{});
    if (name == "relu2") return with(heed::relu<2>{});
    if (name == "relu-softmax") return with(ablation::relu_softmax{});
    if (name == "rectified-only") return with(ablation::rectified_only{});
    throw input_error((s.normalizer.empty() ? sidecar_path(s.model) + ": normalizer " : "--normalizer ") + name +
                      ": is none of softmax, softmax1, softmax_sink, sink, softpick, sigmoid, relu1, relu2, "
                      "relu-softmax, rectified-only");
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        run(parse(argc, argv));
        return 0;
    } catch (const input_error& e) {
        std::fprintf(stderr, "storyteller: %s\n", e.what());
        if (argc < 3) std::fputs(usage, stderr);
        return 2;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "storyteller: %s: too large for this machine's memory\n",
                     argc > 1 ? argv[1] : "checkpoint");
        return 2;
    }
}
