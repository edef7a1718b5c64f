// SPDX-License-Identifier: MIT
#include "task.hpp"

#include <string_view>

namespace twins {
namespace {

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", triggers = "1234";
constexpr double trigger_share = 0.2;  // of what follows a letter

class bigram_backcopy final : public task {
public:
    bigram_backcopy()
    {
        random_stream random{0xb16};
        for (auto& row : follows_) {  // log-normal weights: a few letters are likely, most are rare
            double sum = 0;
            for (double& p : row) sum += p = std::exp(2 * random.normal());
            for (double& p : row) p /= sum;
        }
    }

    void draw(random_stream random, int* tokens, int64 count) const override
    {
        std::size_t letter = 0;
        bool after_trigger = true;  // BOS is followed by any letter
        for (int64 i = 0; i < count; ++i) {
            if (i == 0) {
                tokens[i] = bos;
                letter = static_cast<std::size_t>(random.below(static_cast<int64>(letters.size())));
            } else if (after_trigger) {
                tokens[i] = token_of(static_cast<unsigned char>(letters[letter]));
                after_trigger = false;
            } else if (const double u = random.uniform(); u < trigger_share) {
                const auto which = static_cast<std::size_t>(u / trigger_share * static_cast<double>(triggers.size()));
                tokens[i] = token_of(static_cast<unsigned char>(triggers[which]));
                after_trigger = true;
            } else {
                letter = next(letter, random.uniform());
                tokens[i] = token_of(static_cast<unsigned char>(letters[letter]));
            }
        }
    }

    void draw_validation(int64 n, int* tokens, int64 count) const override
    {
        draw(random_stream{0xda7a, static_cast<std::uint64_t>(n)}, tokens, count);
    }

    /// Mean loss of whoever knows the chain: the entropy of a step of the chain over the tokens that it takes.
    double bound(int64 context) const
    {
        std::array<double, letters.size()> often;  // the stationary distribution of letters
        often.fill(1 / static_cast<double>(letters.size()));
        for (int n = 0; n < 500; ++n) {
            std::array<double, letters.size()> then{};
            for (std::size_t a = 0; a < letters.size(); ++a)
                for (std::size_t b = 0; b < letters.size(); ++b) then[b] += often[a] * follows_[a][b];
            often = then;
        }
        const auto surprise = [](double p) { return p > 0 ? -p * std::log(p) : 0; };
        double of_letters = 0;
        for (std::size_t a = 0; a < letters.size(); ++a)
            for (const double p : follows_[a]) of_letters += often[a] * surprise(p);
        const double step = surprise(trigger_share) + surprise(1 - trigger_share) +
                            trigger_share * std::log(static_cast<double>(triggers.size())) +
                            (1 - trigger_share) * of_letters;
        const double first = std::log(static_cast<double>(letters.size())), n = static_cast<double>(context);
        return (first + (n - 1) * step / (1 + trigger_share)) / n;
    }

private:
    std::size_t next(std::size_t letter, double u) const
    {
        std::size_t to = 0;
        while (to + 1 < letters.size() && u >= follows_[letter][to]) u -= follows_[letter][to++];
        return to;
    }

    std::array<std::array<double, letters.size()>, letters.size()> follows_{};
};

}  // namespace

std::unique_ptr<task> make_bigram_backcopy() { return std::make_unique<bigram_backcopy>(); }

double bigram_backcopy_bound(int64 context) { return bigram_backcopy().bound(context); }

}  // namespace twins
