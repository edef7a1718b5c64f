// SPDX-License-Identifier: MIT
// What a model learns: windows of tokens, each beginning with BOS. All tasks speak bytes, in llama2.c's numbering
// (<unk> 0, BOS 1, EOS 2, byte b is b + 3), so one tokenizer file serves them all.
#pragma once

#include "parameters.hpp"

#include <memory>

namespace twins {

inline constexpr int byte_vocabulary = 259;
inline constexpr int bos = llama2c::tokenizer::bos;
constexpr int token_of(unsigned char byte) { return byte + 3; }

class task {
public:
    virtual ~task() = default;

    /// One window of `count` tokens to learn from: a function of the key alone.
    virtual void draw(random_stream key, int* tokens, int64 count) const = 0;

    /// The n-th window to validate on: never seen in training, the same for every model.
    virtual void draw_validation(int64 n, int* tokens, int64 count) const = 0;
};

/// Next byte of a text. Every 16th block of 64 KiB is held out to validate on; a text that is not for training is all
/// held out. Throws input_error where either part is shorter than a window of `context` tokens.
std::unique_ptr<task> make_text_task(const std::string& text, bool for_training, int64 context,
                                     const std::string& name);

/// The held-out part of a text.
std::string held_out(const std::string& text);

/// Bigram-backcopy (Guo et al. 2024, arXiv 2410.13835): letters follow each other by a fixed random Markov chain;
/// now and then comes a trigger, one of the digits 1 to 4, and after a trigger comes the letter before it again.
std::unique_ptr<task> make_bigram_backcopy();

/// The mean loss on it of whoever knows the chain: nothing can be lower.
double bigram_backcopy_bound(int64 context);

/// A token as a label: its byte, or its name.
std::string label_of(int token);

/// llama2.c's tokenizer file for these tokens.
std::string byte_tokenizer();

}  // namespace twins
