// SPDX-License-Identifier: MIT
// The tensors of a problem on cache-line boundaries, the same for all who run it: Q is [B, Hq, Sq, D], K and V are
// [B, Hkv, Skv, D] or [B, Skv, Hkv, D] with the same numbers, and where a run goes through layers, one behind the
// other. Normal numbers, so that scores at scale 1/sqrt(D) are too. In a _sparseNN case NN % of the keys, scattered,
// score below 0 for every query and the others above: queries share a direction u, and keys stand on one side of it or
// on the other,
//
//     q = x + a u     k = y +- a u     x, y normal and at right angles to u     q . k / sqrt(D) = normal +- 6
#pragma once

#include "cases.hpp"

#include <cstdlib>
#include <memory>
#include <new>
#include <string>

namespace bench {

template <class E>
class buffer {
public:
    explicit buffer(std::int64_t n)
        : data_(static_cast<E*>(std::aligned_alloc(64, (static_cast<std::size_t>(n) * sizeof(E) + 63) / 64 * 64))),
          size_(n)
    {
        if (!data_ && n > 0) throw std::bad_alloc();
    }
    E* get() const { return data_.get(); }
    std::int64_t size() const { return size_; }

private:
    struct release {
        void operator()(E* p) const { std::free(p); }
    };
    std::unique_ptr<E[], release> data_;
    std::int64_t size_;
};

/// Elements from a row of K or V to that of the next sequence (or layer), head and token.
struct row_steps {
    std::int64_t batch, head, token;
};

/// Those of K and V of a case, with rows of `dim` channels.
row_steps steps_of(const bench_case&, std::int64_t dim);

template <class E>
class inputs {
public:
    buffer<E> q;
    row_steps k_step, v_step;
    double weightless = 0;  // the share of keys without a positive score, found in these tensors; see planted()

    explicit inputs(const bench_case&);

    /// Rows of kv head `head` from key 0 on; heads are counted through all sequences.
    const E* k(std::int64_t head = 0) const
    {
        return k_.get() + head / heads_ * k_step.batch + head % heads_ * k_step.head;
    }
    const E* v(std::int64_t head = 0) const
    {
        return (mla_ ? k_ : v_).get() + head / heads_ * v_step.batch + head % heads_ * v_step.head;
    }

private:
    std::int64_t heads_;
    bool mla_;
    buffer<E> k_, v_;
};

/// Those of the case's sizes. The last ones are kept: a row of contestants, and often the next row, shares them.
template <class E>
std::shared_ptr<const inputs<E>> inputs_of(const bench_case&);

/// What a _sparseNN case turned out to be: "90.1 % of keys without a positive score"; empty for others.
std::string planted(const bench_case&);

}  // namespace bench
