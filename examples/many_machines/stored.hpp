// SPDX-License-Identifier: MIT
// Keys and values of tokens [first, end) of a sequence of random ones, as other caches store them.
#pragma once

#include "decode.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace many_machines {

/// What slots hold that no token has.
inline constexpr float unwritten = std::numeric_limits<float>::quiet_NaN();

/// The rows that any cache of a step is filled with, of one sequence.
class rows_to_store {
public:
    rows_to_store(const step& s, int64 sequence)
        : k_(random_tensor({1, s.kv_heads, s.keys, s.dim}, 20 + static_cast<unsigned>(sequence))),
          v_(random_tensor({1, s.kv_heads, s.keys, s.dim}, 40 + static_cast<unsigned>(sequence)))
    {}
    /// Appends tokens [first, end) to sequence `sequence` of a cache, at token `at` there.
    template <class Cache>
    void append_to(const Cache& cache, int64 sequence, int64 first, int64 end, int64 at = 0) const
    {
        heed::or_throw(heed::append(cache, sequence, at, tokens(k_.view(), first, end), tokens(v_.view(), first, end)));
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

/// A ring that keeps the first 20 tokens of a sequence, and its last 900. Ranks have of both what is in their spans.
class pinned_ring_of {
public:
    auto source() { return heed::pinned_ring_kv{k_.view(), v_.view(), lengths_, pinned_, firsts_}; }
    pinned_ring_of(const step& s, int64 first, int64 end)
        : pinned_(first == 0 && end > 0 ? 20 : 0), gone_(std::clamp(s.keys - 900 - first, pinned_, end - first)),
          k_(s.cache(pinned_ + end - first - gone_ + 1), unwritten), v_(k_.size, unwritten),
          lengths_(static_cast<std::size_t>(s.batch), end - first), firsts_(lengths_.size(), gone_)
    {
        for (int64 b = 0; b < s.batch; ++b) {
            const rows_to_store rows(s, b);
            if (pinned_ > 0) rows.append_to(source(), b, first, first + pinned_);
            if (first + gone_ < end) rows.append_to(source(), b, first + gone_, end, gone_);
        }
    }

private:
    int64 pinned_, gone_;  // tokens in between are gone
    tensor<float> k_, v_;
    std::vector<int64> lengths_, firsts_;
};

/// Dense, each sequence behind padding of its own that nobody may read.
class left_padded_of {
public:
    auto source() { return heed::left_padded_kv{k_.view(), v_.view(), starts_, ends_}; }
    left_padded_of(const step& s, int64 first, int64 end)
        : k_(s.cache(end - first + 3 * s.batch), unwritten), v_(k_.size, unwritten)
    {
        for (int64 b = 0; b < s.batch; ++b) {
            starts_.push_back(3 * b + 2);
            ends_.push_back(starts_.back() + end - first);
            if (end > first) rows_to_store(s, b).append_to(heed::dense_kv{behind(k_, b), behind(v_, b)}, 0, first, end);
        }
    }

private:
    /// A sequence without its padding.
    heed::view<float> behind(tensor<float>& of, int64 b) const
    {
        const heed::view<float> one = tokens(of.view(), starts_.back(), ends_.back());
        return {one.row(b, 0, 0), {1, one.size.heads, one.size.tokens, one.size.dim}, one.stride};
    }

    tensor<float> k_, v_;
    std::vector<int64> starts_, ends_;
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

/// Elements with a scale a token of keys and of values.
template <class E>
class scaled_by_token {
public:
    auto source()
    {
        return heed::scaled_kv{heed::dense_kv{k_.view(), v_.view()}, heed::per_token{k_scale_.view()},
                               heed::per_token{v_scale_.view()}};
    }
    scaled_by_token(const step& s, int64 first, int64 end)
        : k_(s.cache(end - first)), v_(k_.size), k_scale_({s.batch, s.kv_heads, end - first, 1}), v_scale_(k_scale_)
    {
        fill(source(), s, first, end);
    }

private:
    tensor<E> k_, v_;
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
