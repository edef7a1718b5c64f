// SPDX-License-Identifier: MIT
// A model of the box that writes, token by token, and whose attention may be looked into.
#pragma once

#include "watched_attention.hpp"

#include "../storyteller/sampling.hpp"
#include "../storyteller/transformer.hpp"

namespace page {

class twin {
public:
    /// Of the bytes of a checkpoint and the text of its sidecar.
    twin(const std::vector<char>& model, const std::string& beside, const std::string& name)
        : beside_(llama2c::parse_sidecar(beside, name + ".heed")), model_(model, name + ".bin", beside_.bf16)
    {}
    twin(const twin&) = delete;
    twin& operator=(const twin&) = delete;

    const llama2c::config& config() const { return model_.c; }
    int64 parameters() const
    {
        const llama2c::config& c = model_.c;
        return c.vocabulary * c.dim * (c.shared_classifier ? 1 : 2) +
               c.layers * c.dim * (2 + 2 * c.dim + 2 * c.kv_dim() + 3 * c.hidden) + c.dim;
    }
    const llama2c::sidecar& beside() const { return beside_; }
    const std::vector<int>& ids() const { return ids_; }
    const head_rows& rows(int64 layer, int64 head) const { return attention_->rows(layer, head); }

    /// By how much the best logit of what comes behind a token was ahead of the second best.
    float lead(int64 token) const { return leads_[static_cast<std::size_t>(token)]; }
    /// The probability that the model gave to a token, at temperature 1; 0 for the first.
    float probability(int64 token) const { return probabilities_[static_cast<std::size_t>(token)]; }

    /// Forgets what was read, and reads these tokens.
    void read(const normalizer_choice& normalizer, double score_scale, const std::vector<int>& ids)
    {
        attention_ = normalizer.attention(score_scale, model_.c);
        ids_.clear(), leads_.clear();
        probabilities_.assign(1, 0.f);
        append(ids);
    }

    /// Writes a token, where there is room and the model has not ended its text; returns whether it did.
    bool write(double temperature, std::mt19937_64& random)
    {
        if (static_cast<int64>(ids_.size()) == model_.c.context) return false;
        const int id = llama2c::next_token(next_, temperature, random);
        if (id == llama2c::tokenizer::bos) return false;
        append({id});
        return true;
    }

private:
    void append(const std::vector<int>& ids)
    {
        const matrix logits = llama2c::transformer(model_, *attention_).forward({ids});
        if (!leads_.empty()) probabilities_.back() = probability_of(next_, ids[0]);
        for (std::size_t i = 0; i < ids.size(); ++i) {
            next_ = logits.row(static_cast<Eigen::Index>(i));
            leads_.push_back(lead_of(next_));
            probabilities_.push_back(i + 1 < ids.size() ? probability_of(next_, ids[i + 1]) : 0.f);
        }
        ids_.insert(ids_.end(), ids.begin(), ids.end());
    }

    static float lead_of(const Eigen::RowVectorXf& logits)
    {
        Eigen::Index best;
        const float highest = logits.maxCoeff(&best);
        float second = -std::numeric_limits<float>::infinity();
        for (Eigen::Index i = 0; i < logits.size(); ++i)
            if (i != best) second = std::max(second, logits[i]);
        return highest - second;
    }
    static float probability_of(const Eigen::RowVectorXf& logits, int id)
    {
        return std::exp(logits[id] - logits.maxCoeff()) / (logits.array() - logits.maxCoeff()).exp().sum();
    }

    const llama2c::sidecar beside_;
    const llama2c::checkpoint model_;
    watched_pointer attention_;
    std::vector<int> ids_;
    std::vector<float> leads_;          // [ids]
    std::vector<float> probabilities_;  // [ids + 1], the last of what comes next
    Eigen::RowVectorXf next_;           // logits
};

}  // namespace page
