// SPDX-License-Identifier: MIT
// Numerics: what a result depends on, how large its error is, and what NaN and infinity do.
//
// The shift. Terms are computed as 2^-M u(s), where M is a whole number near the row's largest score over ln 2. Scaling
// by a power of two is exact, so that partial results of different M are joined without rounding but for their sums.
// Normalizers that are multiples of e^s take M from the maximum (`by_max`); where a constant stands beside e^s, as in
// softpick's e^s - 1, M is not below 0 (`at_least_zero`), and the constant is scaled along: s.one().
//
// The order. Sums of a row are taken in an order that (query, key) alone fixes:
//
//     channels of q . k     in ascending order, one fused multiply-add after the other
//     terms of a key tile   keys 0 to 511 of the sequence, 512 to 1023, ...: sixteen running sums, key j in sum j mod
//     16 key tiles             folded one behind the other, each rescaled to the larger M
//
// So bits do not depend on threads, batch, chunks, pages, the width of registers or the number of rows beside a row.
// They do depend on where the sequence begins, on fused multiply-add (builds without it agree among themselves), on the
// type that is computed in, and on which keys are attended.
//
// The error. Every score is a sum of D products in float: off by at most D eps sum |q_c k_c|. A weight is off by that,
// as a share of itself, and by a few eps of e^s; a sum of n weights by about sqrt(n) eps where they are alike. So
// outputs are off by some 1e-7 to 1e-6 of the largest |v| that weighs. Error classes are named where they are larger:
//
//     compute<heed::bf16>       products of bf16 pairs: 2^-9 of each operand, sums in float
//     compute<std::int8_t>      queries and weights as whole numbers of 16 bits: about 1e-8 of the output, squared
//     compute<std::int8_t, 8>   of 8 bits: about 1e-3
//     caches                    what append says of their element: half a scale
//
// NaN and infinity. A masked key is selected out: whatever lies there, it is not seen. A key whose weight is 0 adds
// nothing, even where its value is NaN. Otherwise a NaN makes exactly the rows NaN that attend it. A row that attends
// nothing is 0.
#include "numbers.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>
#include <heed/reference.hpp>

#include <cmath>
#include <limits>

int main()
{
    constexpr std::int64_t heads = 2, tokens = 700, dim = 32;
    const heed::extents all{1, heads, tokens, dim};
    std::vector<float> q = numbers(heads * tokens * dim, 1), k = numbers(heads * tokens * dim, 2),
                       v = numbers(heads * tokens * dim, 3);
    const heed::attention def{heed::softpick{}, heed::causal{}};
    const auto attend = [&](heed::executor_ref executor) {
        std::vector<float> out(q.size());
        heed::or_throw(heed::attend(def, heed::bhsd(q, all), heed::bhsd(k, all), heed::bhsd(v, all),
                                    heed::bhsd(out, all), {.executor = executor}));
        return out;
    };
    const std::vector<float> out = attend({});
    heed::thread_pool three(3);
    bool good = holds("three threads have the bits of one", same_bits(out, attend(three)));

    // The definition in plain loops of double: reference() is one page, to be read beside this one.
    std::vector<double> exact(out.size());
    heed::or_throw(
        heed::reference(def, heed::bhsd(q, all), heed::bhsd(k, all), heed::bhsd(v, all), heed::bhsd(exact, all)));
    double worst = 0;
    for (std::size_t i = 0; i < out.size(); ++i) worst = std::fmax(worst, std::fabs(out[i] - exact[i]));
    good &= holds("no output is further than 1e-6 from the definition", worst < 1e-6);

    // Scores of 1e4 are as good as any: e^10000 is no number, the shift keeps it from being asked for.
    const std::vector<float> q_before = q;
    for (float& x : q) x *= 1e4f;
    bool finite = true;
    for (const float x : attend({})) finite &= std::isfinite(x);
    good &= holds("scores in the thousands overflow nothing", finite);
    q = q_before;

    // A NaN in the key of token 600: rows before it cannot tell, rows from it on are NaN, and other heads are not.
    k[600 * dim] = std::numeric_limits<float>::quiet_NaN();
    bool before = true, from = true, other = true;
    const std::vector<float> poisoned = attend({});
    for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t t = 0; t < tokens; ++t) {
            const std::size_t at = static_cast<std::size_t>((h * tokens + t) * dim);
            const bool same = std::memcmp(&poisoned[at], &out[at], dim * sizeof(float)) == 0;
            if (h > 0) other &= same;
            else if (t < 600) before &= same;
            else from &= std::isnan(poisoned[at]);
        }
    good &= holds("a NaN does not reach rows that may not attend it", before && other);
    good &= holds("and makes all others NaN", from);
    return good ? 0 : 1;
}
