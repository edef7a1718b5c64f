// SPDX-License-Identifier: MIT
// Sums of weights by key: the columns of the map of attention, where observations are of its rows. A tile's columns are
// summed row by row, each with what rounding took from it (Knuth's two-sum), so that the error is that of the weights
// and not of the number of rows; a weight of 0 changes no bit, so that it does not matter which rows are passed over
// because they attend nothing of the tile.
#pragma once

#include "../workspace.hpp"
#include "observe_pass.hpp"

HEED_BEGIN
namespace kernel {

/// The sums of a key tile.
template <class T>
class key_sums {
public:
    void add(const row_weights<T>& w)
    {
        using V = vec<T>;
        for (int j = w.begin; j < w.end; j += V::lanes) {
            const V p = load(w.p + j), sum = load(sums_ + j), next = sum + p, added = next - sum;
            const V lost = (sum - (next - added)) + (p - added);
            store(sums_ + j, next);
            store(lost_ + j, load(lost_ + j) + lost);
        }
    }
    /// Of the tile's first n keys. Beside an infinite sum, what was lost is a NaN.
    void give(T* to, int n) const
    {
        for (int j = 0; j < n; ++j) to[j] = lost_[j] == lost_[j] ? sums_[j] + lost_[j] : sums_[j];
    }

private:
    alignas(cache_line) T sums_[micro::key_tile] = {};
    alignas(cache_line) T lost_[micro::key_tile] = {};
};

}  // namespace kernel
HEED_END
