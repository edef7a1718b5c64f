// SPDX-License-Identifier: MIT
// A Llama-style model in the checkpoint format of llama2.c ("legacy"), with heed's attention and Eigen's matrix
// products. Loading trusts nothing: every size is checked against the length of the file before it is used. The
// tensors may be bf16 instead, which a file does not say of itself: see sidecar.hpp.
#pragma once

#include <heed/heed.hpp>

#include <Eigen/Core>

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace llama2c {

using int64 = std::int64_t;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using weights = Eigen::Map<const matrix>;

/// What is wrong with a file or an argument, in one line.
struct input_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::vector<char> read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) throw input_error(path + ": cannot be opened");
    std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
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
        std::memcpy(field, bytes.data(), header);
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
            std::memcpy(stored.data(), bytes.data() + header, stored.size() * sizeof(heed::bf16));
            std::copy(stored.begin(), stored.end(), data_.begin());
        } else {
            std::memcpy(data_.data(), bytes.data() + header, data_.size() * sizeof(float));
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
            std::memcpy(&value, bytes.data() + at, sizeof(value));
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
        for (std::size_t i = 0; i < pieces_.size(); ++i)
            if (pieces_[i] == text) return static_cast<int>(i);
        return -1;
    }

    std::vector<float> scores_;
    std::vector<std::string> pieces_;
};

/// A model, its KV cache [layer][token][kv head][channel], and how far it is filled. Def is the attention it runs: one
/// for all layers, or one for each.
template <class Def>
class transformer {
public:
    transformer(const checkpoint& model, const Def& def, heed::executor_ref executor)
        : transformer(model, std::vector<Def>(static_cast<std::size_t>(model.c.layers), def), executor)
    {}
    transformer(const checkpoint& model, const std::vector<Def>& of_layers, heed::executor_ref executor)
        : m_(model), c_(model.c), defs_(of_layers), executor_(executor),
          keys_(static_cast<std::size_t>(c_.layers * c_.context * c_.kv_dim())), values_(keys_.size())
    {
        if (static_cast<int64>(defs_.size()) != c_.layers)
            throw input_error(std::to_string(defs_.size()) + " definitions of attention for " +
                              std::to_string(c_.layers) + " layers");
    }

    int64 position() const { return filled_; }

    /// Appends tokens to the cache, in one attention call a layer; logits [tokens, vocabulary].
    matrix forward(const std::vector<int>& tokens)
    {
        const int64 n = static_cast<int64>(tokens.size()), head_dim = c_.head_dim();
        if (filled_ + n > c_.context)
            throw input_error(std::to_string(filled_ + n) + " tokens do not fit the model's context of " +
                              std::to_string(c_.context));
        matrix x(n, c_.dim);
        for (int64 i = 0; i < n; ++i)
            x.row(i) = weights(m_.embedding, c_.vocabulary, c_.dim).row(tokens[static_cast<std::size_t>(i)]);

        for (int64 layer = 0; layer < c_.layers; ++layer) {
            const auto of = [layer](const float* p, int64 rows, int64 columns) {
                return weights(p + layer * rows * columns, rows, columns);
            };
            const matrix a = normalised(x, m_.attention_norm + layer * c_.dim);
            matrix q = a * of(m_.wq, c_.dim, c_.dim).transpose();
            float* const k = keys_.data() + layer * c_.context * c_.kv_dim();
            float* const v = values_.data() + layer * c_.context * c_.kv_dim();
            Eigen::Map<matrix> new_k(k + filled_ * c_.kv_dim(), n, c_.kv_dim()),
                new_v(v + filled_ * c_.kv_dim(), n, c_.kv_dim());
            new_k.noalias() = a * of(m_.wk, c_.kv_dim(), c_.dim).transpose();
            new_v.noalias() = a * of(m_.wv, c_.kv_dim(), c_.dim).transpose();
            rotate(q.data(), n, c_.dim);
            rotate(new_k.data(), n, c_.kv_dim());

            const heed::extents rows{1, c_.heads, n, head_dim}, cache{1, c_.kv_heads, filled_ + n, head_dim};
            const auto out = heed::bshd(q.data(), rows);  // in place: attention may overwrite its queries
            const Def& def = defs_[static_cast<std::size_t>(layer)];
            heed::or_throw(heed::attend(def, heed::view<const float>(out), heed::bshd<const float>(k, cache),
                                        heed::bshd<const float>(v, cache), out, {.executor = executor_}));
            x.noalias() += q * of(m_.wo, c_.dim, c_.dim).transpose();

            const matrix f = normalised(x, m_.ffn_norm + layer * c_.dim);
            const matrix gate = f * of(m_.w1, c_.hidden, c_.dim).transpose(),
                         up = f * of(m_.w3, c_.hidden, c_.dim).transpose();
            const matrix h = (gate.array() / (1 + (-gate.array()).exp()) * up.array()).matrix();
            x.noalias() += h * of(m_.w2, c_.dim, c_.hidden).transpose();
        }
        filled_ += n;
        return normalised(x, m_.final_norm) * weights(m_.classifier, c_.vocabulary, c_.dim).transpose();
    }

private:
    /// RMSNorm, eps 1e-5.
    matrix normalised(const matrix& x, const float* weight) const
    {
        const Eigen::Map<const Eigen::RowVectorXf> w(weight, c_.dim);
        matrix y(x.rows(), x.cols());
        for (Eigen::Index i = 0; i < x.rows(); ++i)
            y.row(i) =
                x.row(i).cwiseProduct(w) / std::sqrt(x.row(i).squaredNorm() / static_cast<float>(c_.dim) + 1e-5f);
        return y;
    }

    /// RoPE on neighbouring pairs, base 10000, for new rows from position filled_ on.
    void rotate(float* rows, int64 n, int64 width) const
    {
        for (int64 i = 0; i < n; ++i)
            for (int64 x = 0; x < width; x += 2) {
                const float frequency =
                    1 / std::pow(10000.0f, static_cast<float>(x % c_.head_dim()) / static_cast<float>(c_.head_dim()));
                const float angle = static_cast<float>(filled_ + i) * frequency, cos = std::cos(angle),
                            sin = std::sin(angle);
                float* p = rows + i * width + x;
                const float a = p[0], b = p[1];
                p[0] = a * cos - b * sin;
                p[1] = a * sin + b * cos;
            }
    }

    const checkpoint& m_;
    const config c_;
    const std::vector<Def> defs_;
    heed::executor_ref executor_;
    std::vector<float> keys_, values_;
    int64 filled_ = 0;
};

}  // namespace llama2c
