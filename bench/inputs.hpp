// SPDX-License-Identifier: MIT
// The tensors [B, H, S, D] of a problem on cache-line boundaries, the same for all who run it: normal numbers, so that
// scores at scale 1/sqrt(D) are too. In a _sparseNN case NN % of the keys, scattered, score below 0 for every query
// and the others above: queries share a direction u, and keys stand on one side of it or on the other,
//
//     q = x + a u     k = y +- a u     x, y normal and at right angles to u     q . k / sqrt(D) = normal +- 6
#pragma once

#include "cases.hpp"

#include <cstdlib>
#include <memory>
#include <string>

namespace bench {

template <class E>
class buffer {
public:
    explicit buffer(std::int64_t n)
        : data_(static_cast<E*>(std::aligned_alloc(64, (static_cast<std::size_t>(n) * sizeof(E) + 63) / 64 * 64))),
          size_(n)
    {}
    E* get() const { return data_.get(); }
    std::int64_t size() const { return size_; }

private:
    struct release {
        void operator()(E* p) const { std::free(p); }
    };
    std::unique_ptr<E[], release> data_;
    std::int64_t size_;
};

template <class E>
struct inputs {
    buffer<E> q, k, v;
    double weightless;  // the share of keys without a positive score, found in these tensors; see planted()

    explicit inputs(const bench_case&);
};

/// Those of the case's sizes. The last ones are kept: a row of contestants, and often the next row, shares them.
template <class E>
std::shared_ptr<const inputs<E>> inputs_of(const bench_case&);

/// What a _sparseNN case turned out to be: "90.1 % of keys without a positive score"; empty for others.
std::string planted(const bench_case&);

}  // namespace bench
