// SPDX-License-Identifier: MIT
// A Llama-style model in the checkpoint format of llama2.c ("legacy"), and its tokenizer. Loading trusts nothing: every
// size is checked against the length of the file before it is used. The tensors may be bf16 instead, which a file does
// not say of itself: see sidecar.hpp.
#pragma once

#include "../program/input_error.hpp"
#include "../program/little_endian.hpp"

#include <heed/heed.hpp>

#include <Eigen/Core>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

namespace llama2c {

using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using weights = Eigen::Map<const matrix>;

inline std::vector<char> read_file(const std::string& path)
{
    if (std::error_code unknown; std::filesystem::is_directory(path, unknown))
        throw input_error(path + ": is a directory");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw input_error(path + ": cannot be opened");
    std::vector<char> bytes, part(1 << 16);
    while (file.read(part.data(), static_cast<std::streamsize>(part.size())), file.gcount() > 0)
        bytes.insert(bytes.end(), part.begin(), part.begin() + file.gcount());
    if (file.bad() || bytes.empty()) throw input_error(path + ": cannot be read or is empty");
    return bytes;
}

/// The header: seven int32.
struct config {
    int64 dim, hidden, layers, heads, kv_heads, vocabulary, context;
    bool shared_classifier;

    int64 head_dim() const { return dim / heads; }
    int64 kv_dim() const { return head_dim() * kv_heads; }
};

/// Weights of a checkpoint, all in one allocation.
class checkpoint {
public:
    explicit checkpoint(const std::vector<char>& bytes, const std::string& name, bool bf16 = false)
    {
        constexpr std::size_t header = 7 * sizeof(std::int32_t);
        if (bytes.size() < header)
            throw input_error(name + ": " + std::to_string(bytes.size()) +
                              " bytes are too few for a checkpoint header of 28");
        std::int32_t field[7];
        numbers_from_bytes(bytes.data(), 7, field);
        const char* names[] = {"dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "seq_len"};
        constexpr int64 limit = int64{1} << 20;  // keeps every product below 2^62
        for (int i = 0; i < 7; ++i) {
            const int64 v = i == 5 && field[i] < 0 ? -int64{field[i]} : field[i];
            if (v < 1 || v > limit)
                throw input_error(name + ": not a llama2.c checkpoint: " + names[i] + " is " +
                                  std::to_string(field[i]));
        }
        if (field[2] > 4096)
            throw input_error(name + ": not a llama2.c checkpoint: n_layers is " + std::to_string(field[2]));
        c = {field[0], field[1],    field[2], field[3], field[4], field[5] < 0 ? -int64{field[5]} : field[5],
             field[6], field[5] > 0};
        if (c.dim % c.heads || c.heads % c.kv_heads || c.head_dim() % 2)
            throw input_error(name + ": not a llama2.c checkpoint: dim " + std::to_string(c.dim) + ", n_heads " +
                              std::to_string(c.heads) + ", n_kv_heads " + std::to_string(c.kv_heads) +
                              " do not divide");

        const int64 matrices = c.dim * (2 + 2 * c.dim + 2 * c.kv_dim() + 3 * c.hidden);  // of a layer, norms included
        const int64 floats = c.vocabulary * c.dim * (c.shared_classifier ? 1 : 2) + c.layers * matrices + c.dim +
                             c.context * c.head_dim();
        const int64 expected = static_cast<int64>(header) + (bf16 ? 2 : 4) * floats,
                    actual = static_cast<int64>(bytes.size());
        if (actual != expected)
            throw input_error(name + ": " + std::to_string(actual) + " bytes, but a checkpoint of these sizes has " +
                              std::to_string(expected) + (bf16 ? " in bf16" : ""));
        data_.resize(static_cast<std::size_t>(floats));
        if (bf16) {
            std::vector<heed::bf16> stored(data_.size());
            numbers_from_bytes(bytes.data() + header, stored.size(), stored.data());
            std::copy(stored.begin(), stored.end(), data_.begin());
        } else {
            numbers_from_bytes(bytes.data() + header, data_.size(), data_.data());
        }

        const float* p = data_.data();
        const auto take = [&p](int64 n) {
            const float* start = p;
            p += n;
            return start;
        };
        embedding = take(c.vocabulary * c.dim);
        attention_norm = take(c.layers * c.dim);
        wq = take(c.layers * c.dim * c.dim);
        wk = take(c.layers * c.dim * c.kv_dim());
        wv = take(c.layers * c.dim * c.kv_dim());
        wo = take(c.layers * c.dim * c.dim);
        ffn_norm = take(c.layers * c.dim);
        w1 = take(c.layers * c.dim * c.hidden);
        w2 = take(c.layers * c.dim * c.hidden);
        w3 = take(c.layers * c.dim * c.hidden);
        final_norm = take(c.dim);
        take(c.context * c.head_dim());  // two RoPE tables that nobody uses
        classifier = c.shared_classifier ? embedding : take(c.vocabulary * c.dim);
    }
    checkpoint(const checkpoint&) = delete;
    checkpoint& operator=(const checkpoint&) = delete;

    config c;
    const float *embedding, *attention_norm, *wq, *wk, *wv, *wo, *ffn_norm, *w1, *w2, *w3, *final_norm, *classifier;

private:
    std::vector<float> data_;
};

/// Byte-pair encoding by best score.
class tokenizer {
public:
    static constexpr int bos = 1;

    tokenizer(const std::vector<char>& bytes, int64 vocabulary, const std::string& name)
    {
        std::size_t at = 0;
        const auto read = [&](auto& value) {
            if (bytes.size() - at < sizeof(value))
                throw input_error(name + ": ends within token " + std::to_string(pieces_.size()) + " of " +
                                  std::to_string(vocabulary));
            numbers_from_bytes(bytes.data() + at, 1, &value);
            at += sizeof(value);
        };
        std::int32_t longest;
        read(longest);
        if (longest < 1 || longest > 4096)
            throw input_error(name + ": not a llama2.c tokenizer: max token length " + std::to_string(longest));
        for (int64 i = 0; i < vocabulary; ++i) {
            float score;
            std::int32_t length;
            read(score);
            read(length);
            if (length < 0 || length > longest || static_cast<std::size_t>(length) > bytes.size() - at)
                throw input_error(name + ": token " + std::to_string(i) + " has length " + std::to_string(length));
            scores_.push_back(score);
            pieces_.emplace_back(bytes.data() + at, static_cast<std::size_t>(length));
            ids_.emplace(pieces_.back(), static_cast<int>(i));  // of equal pieces the first
            at += static_cast<std::size_t>(length);
        }
        if (at != bytes.size())
            throw input_error(name + ": " + std::to_string(bytes.size() - at) + " bytes after the last of " +
                              std::to_string(vocabulary) + " tokens");
        if (vocabulary < 259)
            throw input_error(name + ": a vocabulary of " + std::to_string(vocabulary) +
                              " has no room for the 256 bytes");
    }

    /// BOS, a dummy space, and the text.
    std::vector<int> encode(const std::string& text) const
    {
        std::vector<int> ids{bos};
        if (text.empty()) return ids;
        if (const int space = find(" "); space >= 0) ids.push_back(space);
        for (std::size_t i = 0; i < text.size();) {
            std::size_t n = 1;  // one UTF-8 code point, or its bytes where the vocabulary lacks it
            while (i + n < text.size() && n < 4 && (static_cast<unsigned char>(text[i + n]) & 0xc0) == 0x80) ++n;
            const int id = find(text.substr(i, n));
            if (id >= 0) ids.push_back(id);
            else
                for (std::size_t b = 0; b < n; ++b) ids.push_back(static_cast<unsigned char>(text[i + b]) + 3);
            i += n;
        }
        for (;;) {
            int best = -1;
            std::size_t where = 0;
            for (std::size_t i = 1; i + 1 < ids.size(); ++i) {
                const int id = find(piece(ids[i]) + piece(ids[i + 1]));
                if (id >= 0 && (best < 0 || score(id) > score(best))) best = id, where = i;
            }
            if (best < 0) return ids;
            ids[where] = best;
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(where) + 1);
        }
    }

    /// The text of a token after `previous`: no space right behind BOS, <0xHH> as a byte.
    std::string decode(int previous, int id) const
    {
        std::string text = piece(id);
        if (previous == bos && !text.empty() && text[0] == ' ') text.erase(0, 1);
        unsigned byte;
        char close;
        if (std::sscanf(text.c_str(), "<0x%02X%c", &byte, &close) == 2 && close == '>')
            return std::string(1, static_cast<char>(byte));
        return text;
    }

private:
    const std::string& piece(int id) const { return pieces_[static_cast<std::size_t>(id)]; }
    float score(int id) const { return scores_[static_cast<std::size_t>(id)]; }
    int find(const std::string& text) const
    {
        const auto at = ids_.find(text);
        return at == ids_.end() ? -1 : at->second;
    }

    std::vector<float> scores_;
    std::vector<std::string> pieces_;
    std::unordered_map<std::string, int> ids_;
};

}  // namespace llama2c
