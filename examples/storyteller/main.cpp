// SPDX-License-Identifier: MIT
// Runs a llama2.c checkpoint with heed's attention: prompts in one prefill call, then token by token, all sequences
// together, against a growing KV cache of any element, in pages or not. A sidecar beside the checkpoint says
// with which normalizer the model was trained.
#include "../program/standard_output.hpp"
#include "command_line.hpp"
#include "comparison.hpp"
#include "sampling.hpp"

#include <heed/executor/threads.hpp>

#include <chrono>
#include <cstdio>
#include <sstream>

namespace {

using namespace llama2c;

/// A text's ids, if they fit the model.
std::vector<int> encode(const tokenizer& words, const config& c, const std::string& text, const std::string& name)
{
    std::vector<int> ids = words.encode(text);
    if (static_cast<int64>(ids.size()) > c.context)
        throw input_error(name + ": " + std::to_string(ids.size()) + " tokens, the model's context has " +
                          std::to_string(c.context));
    return ids;
}

/// The prompts, each with its name in messages.
std::vector<std::pair<std::string, std::string>> read_prompts(const settings& s)
{
    if (s.batch.empty()) return {{s.prompt, "--prompt"}};
    const std::vector<char> bytes = read_file(s.batch);
    std::istringstream lines(std::string(bytes.begin(), bytes.end()));
    std::vector<std::pair<std::string, std::string>> prompts;
    for (std::string line; std::getline(lines, line);) {
        const std::string name = s.batch + ": line " + std::to_string(prompts.size() + 1);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        if (line.empty()) throw input_error(name + ": is empty, a prompt a line is needed");
        prompts.emplace_back(line, name);
    }
    return prompts;
}

/// "cache q8_0, 16 tokens a page: 255 of 256 tokens in 348160 bytes, 327680 in f32"
std::string described(const cache_size& size, const attention_form& form)
{
    std::string text = std::string("cache ") + name_of(form.as);
    if (form.page) text += ", " + std::to_string(form.page) + (form.page == 1 ? " token a page" : " tokens a page");
    text += ": " + std::to_string(size.tokens) + " of " + std::to_string(size.room) + " tokens in " +
            std::to_string(size.bytes) + " bytes";
    if (form.as != element::f32) text += ", " + std::to_string(size.f32_bytes) + " in f32";
    return text;
}

/// A prompt and what the model makes of it.
struct story {
    std::vector<int> ids;
    std::mt19937_64 random;  // each its own, so that it is told as it would be alone
    std::size_t told = 0;
    bool ended = false;
};

/// Shows stories one below the other, the first that has not ended as it grows.
class printer {
public:
    printer(const tokenizer& words, bool ids) : words_(words), ids_(ids) {}

    void show(const std::vector<story>& stories)
    {
        for (; at_ < stories.size(); ++at_, shown_ = 0) {
            const story& s = stories[at_];
            if (at_ > 0 && shown_ == 0) std::printf("\n");
            for (; shown_ < s.ids.size(); ++shown_) {
                const int id = s.ids[shown_];
                if (ids_) std::printf("%d\n", id);
                else if (id != tokenizer::bos) std::fputs(words_.decode(s.ids[shown_ - 1], id).c_str(), stdout);
            }
            if (s.ended && !ids_) std::printf("\n");
            flush_standard_output();  // nobody would read the rest of a story that cannot be printed
            if (!s.ended) return;
        }
    }

private:
    const tokenizer& words_;
    const bool ids_;
    std::size_t at_ = 0, shown_ = 0;  // the story, and how many of its ids
};

/// ", on 3 ranks"
std::string on(const ranks* over)
{
    if (!over) return "";
    return ", on " + std::to_string(over->size()) + (over->size() == 1 ? " rank" : " ranks");
}

void tell(const settings& s, const checkpoint& model, const tokenizer& words, cached_attention& attention,
          std::vector<std::vector<int>> unread, const ranks* over)
{
    std::vector<story> stories;
    for (const auto& ids : unread)
        stories.push_back({ids, std::mt19937_64(static_cast<std::uint64_t>(s.seed)), 0, s.tokens == 0});
    transformer reader(model, attention);
    printer page(words, s.ids);
    page.show(stories);
    const auto start = std::chrono::steady_clock::now();
    std::size_t told = 0;
    for (std::size_t open = s.tokens == 0 ? 0 : stories.size(); open > 0;) {
        const matrix logits = reader.forward(unread);
        Eigen::Index end = 0;
        for (std::size_t b = 0; b < stories.size(); ++b) {
            story& tale = stories[b];
            if (tale.ended) continue;
            end += static_cast<Eigen::Index>(unread[b].size());
            const int id = next_token(logits.row(end - 1), s.temperature, tale.random);
            tale.ended = id == tokenizer::bos;  // the model ends its story
            if (!tale.ended) {
                tale.ids.push_back(id);
                ++told;
                tale.ended = ++tale.told == static_cast<std::size_t>(s.tokens) ||
                             attention.length(static_cast<int64>(b)) == model.c.context;
            }
            unread[b] = {id};
            if (!tale.ended) continue;
            unread[b].clear();
            attention.release(static_cast<int64>(b));
            --open;
        }
        page.show(stories);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fprintf(stderr, "%zu tokens, %.0f tokens/s; %s%s\n", told, static_cast<double>(told) / seconds,
                 described(attention.size(), s.form).c_str(), on(over).c_str());
}

/// The ids of a file's text, its last line break left out.
std::vector<int> read_text(const std::string& path, const checkpoint& model, const tokenizer& words)
{
    const std::vector<char> bytes = read_file(path);
    std::string text(bytes.begin(), bytes.end());
    if (text.back() == '\n') text.pop_back();
    const std::vector<int> ids = encode(words, model.c, text, path);
    if (ids.size() < 2) throw input_error(path + ": has no text");
    return ids;
}

void score(const settings& s, const checkpoint& model, const std::vector<int>& ids, cached_attention& attention,
           const ranks* over)
{
    const double surprise = perplexity(transformer(model, attention).forward({ids}), ids);
    std::printf("perplexity %.4f, %zu tokens\n", surprise, ids.size() - 1);
    flush_standard_output();
    std::fprintf(stderr, "%s%s\n", described(attention.size(), s.form).c_str(), on(over).c_str());
}

/// Over the ranks, of which each has a part of the tokens that there can be, or in this process.
std::unique_ptr<cached_attention> attention_for(const settings& s, const sidecar& beside, config c,
                                                const std::vector<std::vector<int>>& texts, ranks* over,
                                                heed::executor_ref executor)
{
    attention_form form = s.form;
    form.sequences = static_cast<int64>(texts.size());
    if (!over) return make_attention(beside.normalizer, beside, c, form, executor);
    std::size_t longest = 0;
    for (const auto& ids : texts) longest = std::max(longest, ids.size());
    c.context = std::min(c.context, static_cast<int64>(longest) + (s.tells() ? s.tokens : 0));
    return over->make_attention(beside.normalizer, beside, c, form, s.combine, executor);
}

void run(const settings& s, ranks* over)
{
    sidecar beside = read_sidecar(s.model);
    if (!s.normalizer.empty()) beside.normalizer = s.normalizer;
    checkpoint model(read_file(s.model), s.model, beside.bf16);
    if (s.context > 0) model.c.context = s.context;
    const tokenizer words(read_file(s.vocabulary), model.c.vocabulary, s.vocabulary);
    check_sinks(beside, model.c, s.model);
    heed::thread_pool pool(static_cast<int>(s.threads));
    if (!s.compare.empty()) {
        const std::vector<int> ids = read_text(s.compare, model, words);
        const std::vector<comparison_line> lines = compare(model, beside, s.form, ids, pool);
        std::printf("perplexity of %zu tokens, and how much more than with f32 and products of float\n\n",
                    ids.size() - 1);
        print(lines);
        if (const int64 n = model.c.head_dim(); n % 32 != 0)
            std::printf("\nHeads have %lld channels: blocks, of q8_0 and below, are filled up to a multiple of 32.\n",
                        static_cast<long long>(n));
        flush_standard_output();
        return;
    }
    std::vector<std::vector<int>> texts;
    if (s.tells())
        for (const auto& [text, name] : read_prompts(s)) texts.push_back(encode(words, model.c, text, name));
    else texts.push_back(read_text(s.score, model, words));
    const auto attention = attention_for(s, beside, model.c, texts, over, pool);
    if (s.tells()) tell(s, model, words, *attention, std::move(texts), over);
    else score(s, model, texts[0], *attention, over);
}

/// The program, of which `over` runs the first of several processes.
int run_guarded(int argc, char** argv, ranks* over)
{
    try {
        for (int i = 1; i < argc; ++i)
            if (const std::string a = argv[i]; a == "--help" || a == "-h") {
                std::fputs(usage, stdout);
                flush_standard_output();
                return 0;
            }
        if (!over && asks_for_ranks(argc, argv))
            return on_ranks(argc, argv, [&](ranks& all) { return run_guarded(argc, argv, &all); });
        run(parse(argc, argv), over);
        return 0;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "storyteller: %s: too large for this machine's memory\n",
                     argc > 1 ? argv[1] : "checkpoint");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "storyteller: %s\n", e.what());
        if (argc < 3) std::fputs(usage, stderr);
    }
    return 2;
}

}  // namespace

int main(int argc, char** argv)
{
    occupy_standard_streams();
    return run_guarded(argc, argv, nullptr);
}
