// SPDX-License-Identifier: MIT
// Digests of a fixed set of results, so that a change of bits is a decision: a hash for each, in a text file beside
// this one. Inputs come from integers alone, so that every compiler and C library makes the same ones.
#pragma once

#include "tensors.hpp"

#include <string>

namespace digests {

using test::int64;
using test::tensor;

/// FNV-1a over the bytes of results, the lowest of each number first, as they lie in the memory of most machines.
class hash {
public:
    template <class T>
    hash& add(const std::vector<T>& results)
    {
        const auto* bytes = reinterpret_cast<const unsigned char*>(results.data());
        constexpr bool big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
        for (std::size_t i = 0; i < results.size() * sizeof(T); ++i)
            value_ = (value_ ^ bytes[big ? i ^ (sizeof(T) - 1) : i]) * 0x100000001b3u;
        return *this;
    }
    std::uint64_t value() const { return value_; }

private:
    std::uint64_t value_ = 0xcbf29ce484222325u;
};

/// Where the sets of results go.
struct sink {
    virtual ~sink() = default;
    virtual void give(const std::string& name, const hash& of) = 0;
    virtual void skip(const std::string& name, const std::string& why) = 0;
};

void forward(sink& to);
void caches(sink& to);
void gradients(sink& to);

/// Numbers that are about normal, of standard deviation `spread`: sums of four multiples of 2^-16.
class numbers {
public:
    explicit numbers(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u + 1) {}
    std::uint64_t bits()  // splitmix64
    {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    double about(double spread)
    {
        const std::uint64_t b = bits();
        const auto part = [&](int i) { return static_cast<double>((b >> (16 * i)) & 0xffff) - 32767.5; };
        return spread * (part(0) + part(1) + part(2) + part(3)) / 37837;
    }

private:
    std::uint64_t state_;
};

/// A tensor of floating-point numbers.
template <class T>
tensor<T> drawn(heed::extents e, std::uint64_t seed, double spread = 1)
{
    numbers from(seed);
    tensor<T> t(e);
    for (T& x : t.data) x = static_cast<T>(static_cast<heed::compute_t<T>>(from.about(spread)));
    return t;
}

/// q, k, v and out.
template <class Q, class K = Q, class V = K>
struct inputs {
    tensor<Q> q;
    tensor<K> k;
    tensor<V> v;

    inputs(int64 batch, int64 query_heads, int64 kv_heads, int64 queries, int64 keys, int64 key_dim, int64 value_dim)
        : q(drawn<Q>({batch, query_heads, queries, key_dim}, 1, 1.5)), k(drawn<K>({batch, kv_heads, keys, key_dim}, 2)),
          v(drawn<V>({batch, kv_heads, keys, value_dim}, 3))
    {}
    heed::extents out_size() const { return {q.size.batch, q.size.heads, q.size.tokens, v.size.dim}; }
    std::size_t rows() const { return static_cast<std::size_t>(q.size.batch * q.size.heads * q.size.tokens); }
};

}  // namespace digests
