// SPDX-License-Identifier: MIT
// A new user's training step: the gradients of softmax attention in q, k and v. Its own loops in double check them.
#include "numbers.hpp"

// begin
#include <heed/heed.hpp>

#include <vector>

struct step {
    std::vector<float> out, dq, dk, dv;

    step(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
         const std::vector<float>& dout, const heed::extents& size)
        : out(q.size()), dq(q.size()), dk(q.size()), dv(q.size())
    {
        std::vector<float> shift(q.size()), mass(q.size());
        const auto Q = heed::bhsd(q, size), K = heed::bhsd(k, size), V = heed::bhsd(v, size);
        const auto O = heed::bhsd(out, size);
        const heed::row_statistics<float> stats{shift, mass};
        heed::or_throw(heed::attend(heed::softmax{}, Q, K, V, O, {.stats = stats}));
        heed::or_throw(heed::backward(heed::softmax{}, Q, K, V, O, stats, heed::bhsd(dout, size),
                                      {heed::bhsd(dq, size), heed::bhsd(dk, size), heed::bhsd(dv, size)}));
    }
};
// end

int main()
{
    constexpr std::size_t heads = 2, tokens = 19, dim = 12, n = heads * tokens * dim;
    const auto q = numbers(n, 1), k = numbers(n, 2), v = numbers(n, 3), dout = numbers(n, 4);
    const step got(q, k, v, dout, {.batch = 1, .heads = heads, .tokens = tokens, .dim = dim});

    const double scale = 1 / std::sqrt(double{dim});
    std::vector<double> dq(n), dk(n), dv(n);
    for (std::size_t i = 0; i < heads * tokens; ++i) {
        const std::size_t first = i / tokens * tokens;
        double p[tokens], dp[tokens], sum = 0, mean = 0;
        for (std::size_t j = 0; j < tokens; ++j) {
            double s = dp[j] = 0;
            for (std::size_t c = 0; c < dim; ++c) {
                s += scale * double{q[i * dim + c]} * double{k[(first + j) * dim + c]};
                dp[j] += double{dout[i * dim + c]} * double{v[(first + j) * dim + c]};
            }
            sum += p[j] = std::exp(s);
        }
        for (std::size_t j = 0; j < tokens; ++j) mean += (p[j] /= sum) * dp[j];
        for (std::size_t j = 0; j < tokens; ++j)
            for (std::size_t c = 0; c < dim; ++c) {
                const double ds = scale * p[j] * (dp[j] - mean);
                dq[i * dim + c] += ds * double{k[(first + j) * dim + c]};
                dk[(first + j) * dim + c] += ds * double{q[i * dim + c]};
                dv[(first + j) * dim + c] += p[j] * double{dout[i * dim + c]};
            }
    }
    return agrees("dq", got.dq, dq) && agrees("dk", got.dk, dk) && agrees("dv", got.dv, dv) ? 0 : 1;
}
