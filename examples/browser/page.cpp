// SPDX-License-Identifier: MIT
// What the page calls. Twins, layers, heads and tokens are numbers from 0 on that the page takes from here, texts are
// UTF-8 that ends with a 0. A verb returns what went wrong, in a sentence, or an empty text.
#include "box.hpp"
#include "twin.hpp"

#include <cstring>
#include <exception>
#include <optional>

namespace {

using llama2c::int64;

constexpr const char* twin_names[] = {"softmax", "softpick"};

std::string text_of(const std::string& name)
{
    const std::vector<char> bytes = page::boxed_file(name);
    return {bytes.begin(), bytes.end()};
}

struct reader {
    explicit reader(const std::string& name) : model(page::boxed_file(name + ".bin"), text_of(name + ".heed"), name) {}

    page::twin model;
    std::mt19937_64 random;
};
std::optional<reader> twins[std::size(twin_names)];
std::optional<llama2c::tokenizer> words;
std::string said;        // what was returned last
std::vector<char> text;  // that the page wrote

const page::twin& model(int twin) { return twins[twin]->model; }
reader& open(int twin) { return *twins[twin]; }

const char* say(std::string what)
{
    said = std::move(what);
    return said.c_str();
}

template <class Verb>
const char* guarded(Verb verb)
{
    try {
        verb();
        return "";
    } catch (const std::exception& e) {
        return say(e.what());
    }
}

}  // namespace

extern "C" {

/// The first call: reads the models.
const char* page_open()
{
    return guarded([] {
        for (std::size_t i = 0; i < std::size(twin_names); ++i) twins[i].emplace(twin_names[i]);
        words.emplace(page::boxed_file("tokenizer.bin"), model(0).config().vocabulary, "tokenizer.bin");
    });
}

const char* page_isa() { return heed::isa_name(); }

int page_twins() { return static_cast<int>(std::size(twin_names)); }
const char* page_twin_name(int twin) { return twin_names[twin]; }
int page_layers() { return static_cast<int>(model(0).config().layers); }
int page_heads() { return static_cast<int>(model(0).config().heads); }
int page_channels() { return static_cast<int>(model(0).config().head_dim()); }
int page_context() { return static_cast<int>(model(0).config().context); }
int page_vocabulary() { return static_cast<int>(model(0).config().vocabulary); }
int page_parameters() { return static_cast<int>(model(0).parameters()); }
/// What the sidecar says of how a twin was trained: task, options, tokens, training-loss, curve (its last point).
const char* page_fact(int twin, const char* key)
{
    std::string last;
    for (const auto& [k, value] : model(twin).beside().facts)
        if (k == key) last = value;
    return say(last);
}
/// The bytes of a token, <s> for the first of a text. Others than UTF-8 are possible.
const char* page_piece(int id) { return say(id == llama2c::tokenizer::bos ? "<s>" : words->decode(-1, id)); }

int page_normalizers() { return static_cast<int>(std::size(page::normalizer_choices)); }
const char* page_normalizer_name(int normalizer) { return page::normalizer_choices[normalizer].name; }
const char* page_normalizer_formula(int normalizer) { return page::normalizer_choices[normalizer].formula; }

/// Memory for a text of so many bytes, there until the next call.
char* page_text(int bytes)
{
    text.assign(static_cast<std::size_t>(bytes) + 1, '\0');
    return text.data();
}

/// A twin reads the text, from nothing.
const char* page_read(int twin, int normalizer, double score_scale, int seed)
{
    return guarded([&] {
        const std::vector<int> ids = words->encode(text.data());
        if (const auto room = static_cast<std::size_t>(page_context()); ids.size() > room)
            throw llama2c::input_error("The prompt has " + std::to_string(ids.size() - 1) + " bytes; the models read " +
                                       std::to_string(room - 1) + " at most.");
        open(twin).model.read(page::normalizer_choices[normalizer], score_scale, ids);
        open(twin).random.seed(static_cast<std::uint64_t>(seed));
    });
}

/// A twin reads once more what it has read and written.
const char* page_read_again(int twin, int normalizer, double score_scale)
{
    return guarded([&] {
        const std::vector<int> ids = model(twin).ids();
        open(twin).model.read(page::normalizer_choices[normalizer], score_scale, ids);
    });
}

/// A twin writes a token, unless the text has ended or is as long as the context: then page_tokens() stays.
const char* page_write(int twin, double temperature)
{
    return guarded([&] { open(twin).model.write(temperature, open(twin).random); });
}

int page_tokens(int twin) { return static_cast<int>(model(twin).ids().size()); }
const int* page_ids(int twin) { return model(twin).ids().data(); }
float page_probability(int twin, int token) { return model(twin).probability(token); }
float page_lead(int twin, int token) { return model(twin).lead(token); }

/// Of a head: weights [context][context], and for each token of the context the other three.
const float* page_weights(int twin, int layer, int head) { return model(twin).rows(layer, head).weights.data(); }
const float* page_first_token(int twin, int layer, int head)
{
    return model(twin).rows(layer, head).first_token.data();
}
const float* page_entropy(int twin, int layer, int head) { return model(twin).rows(layer, head).entropy.data(); }
const float* page_zeros(int twin, int layer, int head) { return model(twin).rows(layer, head).zeros.data(); }

}  // extern "C"
