// SPDX-License-Identifier: MIT
// Random tensors [B, H, S, D] on a cache-line boundary: normal numbers, so that scores at scale 1/sqrt(D) are too.
#pragma once

#include "cases.hpp"

#include <cmath>
#include <cstdlib>
#include <memory>

namespace bench {

template <class E>
struct inputs {
    struct release {
        void operator()(E* p) const { std::free(p); }
    };
    using buffer = std::unique_ptr<E[], release>;

    buffer q, k, v, out;

    explicit inputs(const bench_case& c)
        : q(random(c.batch * c.query_heads * c.queries * c.dim, 1)),
          k(random(c.batch * c.kv_heads * c.keys * c.dim, 2)), v(random(c.batch * c.kv_heads * c.keys * c.dim, 3)),
          out(random(c.batch * c.query_heads * c.queries * c.dim, 4))
    {}

private:
    static buffer random(std::int64_t n, std::uint64_t seed)
    {
        const auto bytes = (static_cast<std::size_t>(n) * sizeof(E) + 63) / 64 * 64;
        buffer b(static_cast<E*>(std::aligned_alloc(64, bytes)));
        std::uint64_t state = seed * 0x9e3779b97f4a7c15u;
        for (std::int64_t i = 0; i < n; ++i) {
            // Eight bytes of one multiply sum to nearly a normal number: filling a quarter GB must not take minutes.
            state = state * 6364136223846793005u + 1442695040888963407u;
            std::uint64_t bits = state ^ (state >> 29);
            int sum = 0;
            for (int j = 0; j < 8; ++j, bits >>= 8) sum += static_cast<int>(bits & 255);
            b[static_cast<std::size_t>(i)] = static_cast<E>(static_cast<float>(sum - 1020) * (1 / 209.0f));
        }
        return b;
    }
};

}  // namespace bench
