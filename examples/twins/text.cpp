// SPDX-License-Identifier: MIT
#include "task.hpp"

namespace twins {
namespace {

constexpr std::size_t block = 65536, held_out_every = 16;

/// The blocks of a text that are held out, or those that are not.
std::string part(const std::string& text, bool held)
{
    std::string result;
    for (std::size_t at = 0, n = 0; at < text.size(); at += block, ++n)
        if ((n % held_out_every == held_out_every - 1) == held) result += text.substr(at, block);
    return result;
}

/// A token as llama2.c spells it.
std::string piece_of(int token)
{
    if (token < 3) return std::array{"<unk>", "<s>", "</s>"}[static_cast<std::size_t>(token)];
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(token - 3));
    return text;
}

class text_task final : public task {
public:
    text_task(std::string training, std::string validation)
        : training_(std::move(training)), validation_(std::move(validation))
    {}

    void draw(random_stream random, int* tokens, int64 count) const override
    {
        const int64 places = static_cast<int64>(training_.size()) - (count - 1) + 1;
        copy(training_, random.below(places), tokens, count);
    }

    void draw_validation(int64 n, int* tokens, int64 count) const override
    {
        const int64 windows = static_cast<int64>(validation_.size()) / (count - 1);
        copy(validation_, n % windows * (count - 1), tokens, count);
    }

private:
    static void copy(const std::string& text, int64 from, int* tokens, int64 count)
    {
        tokens[0] = bos;
        for (int64 i = 1; i < count; ++i)
            tokens[i] = token_of(static_cast<unsigned char>(text[static_cast<std::size_t>(from + i - 1)]));
    }

    std::string training_, validation_;
};

}  // namespace

std::string held_out(const std::string& text) { return part(text, true); }

std::unique_ptr<task> make_text_task(const std::string& text, bool for_training, int64 context, const std::string& name)
{
    const std::string training = for_training ? part(text, false) : "",
                      validation = for_training ? part(text, true) : text;
    const auto window = static_cast<std::size_t>(context);
    if (for_training && validation.size() < window)
        throw input_error(name + ": " + std::to_string(text.size()) +
                          " bytes are too few to learn from: " + std::to_string(block * (held_out_every - 1) + window) +
                          " are needed, as every 16th block of 64 KiB is held out");
    if (validation.size() < window)
        throw input_error(name + ": " + std::to_string(text.size()) + " bytes are less than a window of " +
                          std::to_string(window));
    return std::make_unique<text_task>(training, validation);
}

std::string label_of(int token) { return token < 3 ? piece_of(token) : std::string(1, static_cast<char>(token - 3)); }

std::string byte_tokenizer()
{
    std::string file;
    const auto put = [&file](const auto& value) { llama2c::append_numbers(file, &value, 1); };
    const std::int32_t longest = 6;
    put(longest);
    for (int token = 0; token < byte_vocabulary; ++token) {
        const std::string piece = piece_of(token);
        put(0.0f);
        put(static_cast<std::int32_t>(piece.size()));
        file += piece;
    }
    return file;
}

}  // namespace twins
