// SPDX-License-Identifier: MIT
// Keys and values of some tokens in one message: rows as they are stored, and the scales beside them.
#pragma once

#include "../../kv/dense.hpp"
#include "../../kv/scaled.hpp"

#include <cstring>

HEED_BEGIN
namespace detail {

/// A message of tokens of a source of type Kv: [B, Hkv, tokens] rows of keys, the same of values, then the scales of
/// keys, of values and of channels that the source has.
template <class Kv>
class message {
    using K = typename Kv::key_element;
    using V = typename Kv::value_element;
    static_assert(!has_key_blocks_v<Kv>, "heed: keys with scales of blocks of tokens do not travel between ranks yet");
    static_assert(!has_gone_v<Kv>, "heed: a ring that has lost tokens does not travel between ranks");
    static constexpr bool has_scales = has_key_scales_v<Kv> || has_value_scales_v<Kv> || has_channel_scales_v<Kv>;

public:
    message(const Kv& like, std::int64_t tokens, void* memory)
        : size_{like.batch(), like.heads(), tokens, like.key_dim()}, value_dim_(like.value_dim()),
          data_(static_cast<char*>(memory))
    {}

    /// Of the whole.
    checked bytes() const
    {
        const checked row = checked(size_.dim) * 8 + checked(value_dim_) * 8 + 24;  // of any element
        const checked most =
            checked(size_.batch) * size_.heads * (checked(size_.tokens) * row + checked(size_.dim) * 8);
        return most.fits() ? checked(end_of_value_scales() + channel_bytes()) : most;
    }
    const void* data() const { return data_; }

    /// Copies tokens [first, first + tokens) of a source.
    void fill(const Kv& from, std::int64_t first) const
    {
        for (std::int64_t b = 0; b < size_.batch; ++b)
            for (std::int64_t h = 0; h < size_.heads; ++h) {
                copy(from.keys(b, h), first, k().row(b, h, 0), row_bytes<K>(size_.dim));
                copy(from.values(b, h), first, v().row(b, h, 0), row_bytes<V>(value_dim_));
                if constexpr (has_key_scales_v<Kv>)
                    copy(from.key_scales(b, h), first, scales(end_of_values()).row(b, h, 0), sizeof(float));
                if constexpr (has_value_scales_v<Kv>)
                    copy(from.value_scales(b, h), first, scales(end_of_key_scales()).row(b, h, 0), sizeof(float));
                if constexpr (has_channel_scales_v<Kv>)
                    std::memcpy(channel_scales().row(0, h, 0), from.key_channel_scales(h),
                                static_cast<std::size_t>(size_.dim) * sizeof(float));
            }
    }

    /// What is in it.
    auto source() const
    {
        const dense_kv<const K, const V> rows{k(), v()};
        if constexpr (!has_scales) return rows;
        else return scaled_kv{rows, scales_of_keys(), scales_of_values()};
    }

private:
    template <class E>
    static std::int64_t row_bytes(std::int64_t dim)
    {
        return elements_for<E>(dim) * static_cast<std::int64_t>(sizeof(E));
    }
    static std::int64_t in_units(std::int64_t bytes) { return (bytes + 15) / 16 * 16; }
    std::int64_t rows() const { return size_.batch * size_.heads * size_.tokens; }
    std::int64_t end_of_keys() const { return in_units(rows() * row_bytes<K>(size_.dim)); }
    std::int64_t end_of_values() const { return end_of_keys() + in_units(rows() * row_bytes<V>(value_dim_)); }
    std::int64_t scale_bytes() const { return in_units(rows() * std::int64_t{sizeof(float)}); }
    std::int64_t end_of_key_scales() const { return end_of_values() + (has_key_scales_v<Kv> ? scale_bytes() : 0); }
    std::int64_t end_of_value_scales() const
    {
        return end_of_key_scales() + (has_value_scales_v<Kv> ? scale_bytes() : 0);
    }
    std::int64_t channel_bytes() const
    {
        return has_channel_scales_v<Kv> ? in_units(size_.heads * size_.dim * std::int64_t{sizeof(float)}) : 0;
    }

    view<K> k() const { return bhsd(reinterpret_cast<K*>(data_), size_); }
    view<V> v() const
    {
        return bhsd(reinterpret_cast<V*>(data_ + end_of_keys()), {size_.batch, size_.heads, size_.tokens, value_dim_});
    }
    view<float> scales(std::int64_t begin) const
    {
        return bhsd(reinterpret_cast<float*>(data_ + begin), {size_.batch, size_.heads, size_.tokens, 1});
    }
    view<float> channel_scales() const
    {
        return bhsd(reinterpret_cast<float*>(data_ + end_of_value_scales()), {1, size_.heads, 1, size_.dim});
    }
    auto scales_of_keys() const
    {
        if constexpr (has_key_scales_v<Kv>) return per_token<const float>{scales(end_of_values())};
        else if constexpr (has_channel_scales_v<Kv>) return per_channel<const float>{channel_scales()};
        else return unscaled{};
    }
    auto scales_of_values() const
    {
        if constexpr (has_value_scales_v<Kv>) return per_token<const float>{scales(end_of_key_scales())};
        else return unscaled{};
    }

    /// The rows of a head, as bytes.
    template <class Rows>
    void copy(const Rows& from, std::int64_t first, void* to, std::int64_t bytes) const
    {
        char* at = static_cast<char*>(to);
        for (std::int64_t i = 0; i < size_.tokens;) {
            const auto segment = from(first + i);
            for (std::int64_t x = 0; x < segment.count && i < size_.tokens; ++x, ++i, at += bytes)
                std::memcpy(at, segment.row(x), static_cast<std::size_t>(bytes));
        }
    }

    extents size_;  // B, Hkv, tokens, Dqk
    std::int64_t value_dim_;
    char* data_;
};

}  // namespace detail
HEED_END
