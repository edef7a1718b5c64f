// SPDX-License-Identifier: MIT
// Many machines: a sequence whose keys lie in several places, and the states that travel between them.
//
// A row over some of the keys is {M, l, o}: a shift, a sum of masses, a sum of weighted values; D + 2 numbers a head.
// It is exact to pass on what one place found and to go on from there in another:
//
//     clear -> attend_partial (keys 0 to 1023) -> attend_partial (1024 to 2047) -> ... -> finish
//
// gives the bits of one call over all keys, if the cuts are at multiples of heed::key_tile = 512. Places that work at
// the same time join their states afterwards: `merge` adds two, and `finish` divides. Which are joined first moves the
// last bits; folding them in the order of the keys, tile by tile, does not.
//
//     order of keys     attend_partial continues a state; bits of one machine
//     a tree            merge, log P steps; other last bits, the same for the same tree
//
// What travels for a decode step of 32 heads of 128 channels: 32 x 130 x 4 bytes = 16,640 a token and layer, from each
// place, whatever the number of keys. `heed/adapt/mpi.hpp` does all of this over MPI, for decode and for prefill, where
// spans of K and V travel instead; examples/many_machines is the program to read, and says where it wins.
//
// A threshold (entmax, top-k) is a number of the whole row. Places exchange what they know of it first:
// threshold_partial, merge and threshold (heed/threshold_state.hpp); then known_thresholds makes them normalizers like
// any other. Keys of a normalizer with an order (stick_breaking) are folded from the newest to the oldest, and
// merge_left joins states.
#include "numbers.hpp"

#include <heed/heed.hpp>

#include <cmath>

int main()
{
    constexpr std::int64_t heads = 4, keys = 2000, dim = 32, places = 3;
    constexpr std::int64_t cuts[places + 1] = {0, 1024, 1536, keys};  // multiples of 512 but for the end
    const heed::extents one{1, heads, 1, dim}, all{1, heads, keys, dim};
    const std::vector<float> q = numbers(heads * dim, 1), k = numbers(heads * keys * dim, 2),
                             v = numbers(heads * keys * dim, 3);
    const auto Q = heed::bhsd(q, one), K = heed::bhsd(k, all), V = heed::bhsd(v, all);
    const std::vector<float> slopes = {0.1f, 0.05f, 0.02f, 0.01f};
    const heed::attention def{heed::softpick{}, heed::alibi{slopes}};  // of absolute positions
    std::vector<float> whole(q.size());
    heed::or_throw(heed::attend(def, Q, K, V, heed::bhsd(whole, one)));

    // What lies in place p, and its part of the sequence: the first key, and how many keys there are in all.
    const auto fold = [&](std::int64_t p, const heed::state<float>& state) {
        const heed::extents span{1, heads, cuts[p + 1] - cuts[p], dim};
        heed::or_throw(heed::attend_partial(def, Q, heed::strided(K.row(0, 0, cuts[p]), span, K.stride),
                                            heed::strided(V.row(0, 0, cuts[p]), span, V.stride), state,
                                            {cuts[p], keys}));
    };
    struct memory {  // of a state: this is what would be sent
        std::vector<float> shift = std::vector<float>(heads), mass = shift, sums = std::vector<float>(heads * dim);
        heed::state<float> state(const heed::extents& size) { return {shift.data(), mass.data(), sums.data(), size}; }
    };

    // In the order of the keys: each place continues what the one before it sent.
    memory sent;
    heed::or_throw(heed::clear(def, sent.state(one)));
    for (std::int64_t p = 0; p < places; ++p) fold(p, sent.state(one));
    std::vector<float> in_order(q.size());
    heed::or_throw(heed::finish(def, sent.state(one), heed::bhsd(in_order, one)));
    bool good = holds("in the order of the keys, three places have the bits of one", same_bits(whole, in_order));

    // At the same time, and joined: (0 with 1) with 2.
    memory of[places];
    for (std::int64_t p = 0; p < places; ++p) {
        heed::or_throw(heed::clear(def, of[p].state(one)));
        fold(p, of[p].state(one));
    }
    for (std::int64_t p = 1; p < places; ++p) heed::or_throw(heed::merge(of[0].state(one), of[p].state(one)));
    std::vector<float> joined(q.size());
    heed::or_throw(heed::finish(def, of[0].state(one), heed::bhsd(joined, one)));
    double worst = 0;
    for (std::size_t i = 0; i < whole.size(); ++i)
        worst = std::fmax(worst, std::fabs(double{whole[i]} - double{joined[i]}));
    good &= holds("merged, they agree to 1e-6", worst < 1e-6);
    return good ? 0 : 1;
}
