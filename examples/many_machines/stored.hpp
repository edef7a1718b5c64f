// SPDX-License-Identifier: MIT
// Keys and values of tokens [first, end) of a sequence of random ones, as other caches store them.
#pragma once

#include "decode.hpp"

#include <algorithm>
#include <numeric>

namespace many_machines {

/// The rows that any cache of a step is filled with, of one sequence.
class rows_to_store {
public:
    rows_to_store(const step& s, int64 sequence)
        : k_(random_tensor({1, s.kv_heads, s.keys, s.dim}, 20 + static_cast<unsigned>(sequence))),
          v_(random_tensor({1, s.kv_heads, s.keys, s.dim}, 40 + static_cast<unsigned>(sequence)))
    {}
    /// Appends tokens [first, end) to sequence `sequence` of a cache of just these.
    template <class Cache>
    void append_to(const Cache& cache, int64 sequence, int64 first, int64 end) const
    {
        heed::or_throw(heed::append(cache, sequence, 0, tokens(k_.view(), first, end), tokens(v_.view(), first, end)));
    }

private:
    tensor<float> k_, v_;
};

template <class Cache>
void fill(const Cache& cache, const step& s, int64 first, int64 end)
{
    if (end <= first) return;
    for (int64 b = 0; b < s.batch; ++b) rows_to_store(s, b).append_to(cache, b, first, end);
}

/// Dense, of elements K and V.
template <class K, class V = K>
class dense_of {
public:
    dense_of(const step& s, int64 first, int64 end) : k_(s.cache(end - first)), v_(s.cache(end - first))
    {
        fill(source(), s, first, end);
    }
    auto source() { return heed::dense_kv{k_.view(), v_.view()}; }

private:
    tensor<K> k_;
    tensor<V> v_;
};

/// Pages of 16 tokens in any order.
template <class E>
class pages_of {
public:
    static constexpr int64 slots = 16;

    pages_of(const step& s, int64 first, int64 end)
        : width_((end - first + slots - 1) / slots), k_({s.batch * width_, s.kv_heads, slots, s.dim}), v_(k_.size),
          pages_(static_cast<std::size_t>(s.batch * width_)), lengths_(static_cast<std::size_t>(s.batch), end - first)
    {
        std::iota(pages_.begin(), pages_.end(), 0);
        std::shuffle(pages_.begin(), pages_.end(), std::minstd_rand(7));
        fill(source(), s, first, end);
    }
    auto source() { return heed::paged_kv{k_.view(), v_.view(), heed::page_table::padded(pages_, width_, lengths_)}; }

private:
    int64 width_;
    tensor<E> k_, v_;
    std::vector<std::int32_t> pages_;
    std::vector<int64> lengths_;
};

/// A ring with more slots than tokens.
class ring_of {
public:
    auto source() { return heed::ring_kv{k_.view(), v_.view(), lengths_}; }
    ring_of(const step& s, int64 first, int64 end)
        : k_(s.cache(end - first + 5)), v_(k_.size), lengths_(static_cast<std::size_t>(s.batch), end - first)
    {
        fill(source(), s, first, end);
    }

private:
    tensor<float> k_, v_;
    std::vector<int64> lengths_;
};

/// Whole numbers of 8 bits, with a scale a channel of the keys and one a token of the values.
class scaled {
public:
    auto source()
    {
        return heed::scaled_kv{heed::dense_kv{k_.view(), v_.view()}, heed::per_channel{k_scale_.view()},
                               heed::per_token{v_scale_.view()}};
    }
    scaled(const step& s, int64 first, int64 end)
        : k_(s.cache(end - first)), v_(k_.size), k_scale_({1, s.kv_heads, 1, s.dim}, 0.01f),
          v_scale_({s.batch, s.kv_heads, end - first, 1})
    {
        for (std::size_t c = 0; c < k_scale_.data.size(); ++c) k_scale_.data[c] += 0.0001f * static_cast<float>(c);
        fill(source(), s, first, end);
    }

private:
    tensor<std::int8_t> k_, v_;
    tensor<float> k_scale_, v_scale_;
};

/// Codes of 4 bits with a scale and a zero point for each channel and block of 64 tokens.
class scaled_by_block {
public:
    auto source()
    {
        return heed::scaled_kv{heed::dense_kv{k_.view(), v_.view()},
                               heed::per_channel_block{scale_.view(), zero_.view(), 64}, heed::unscaled{}};
    }
    scaled_by_block(const step& s, int64 first, int64 end)
        : k_(s.cache(end - first)), v_(k_.size), scale_({s.batch, s.kv_heads, (end - first + 63) / 64, s.dim}),
          zero_(scale_.size)
    {
        fill(source(), s, first, end);
    }

private:
    tensor<heed::codes<4>> k_;
    tensor<float> v_, scale_, zero_;
};

template <class Cache, class Def>
void decode_from(world& w, const std::string& name, const Def& def)
{
    const step s;
    decode(w, name, def, s, [&](int64 first, int64 end) { return Cache(s, first, end); });
}

}  // namespace many_machines
