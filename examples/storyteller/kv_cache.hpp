// SPDX-License-Identifier: MIT
// Keys and values of all layers of a model, as elements of E: a pool of pages [page][kv head][slot][channel] a layer.
//
// q8_0 and q4_0 are blocks of 32 channels. Rows of heads of another size end in channels of zeros: with zeros in the
// query too they change no score, those of v only make outputs that nobody reads, and a block's scale is that of its
// largest number, so that they make the others no coarser. What they cost is memory: heads of 8 take 34 bytes in q8_0
// and 32 in f32.
#pragma once

#include "pages.hpp"

#include <heed/append.hpp>

namespace llama2c {

template <class E>
class kv_cache {
    static constexpr bool is_scaled = std::is_same_v<E, std::int8_t>;  // one float for each token and head

public:
    kv_cache(int64 layers, int64 heads, int64 head_dim)
        : heads_(heads), row_(heed::elements_for<E>(head_dim + padding(head_dim))),
          layers_(static_cast<std::size_t>(layers))
    {}

    /// Channels that rows of k, v and q have.
    int64 dim() const { return row_ * heed::channels_of<E>; }

    /// Makes room for the tokens that `at` has, in all layers.
    void make_room(const pages& at)
    {
        const int64 rows = at.most_pages() * at.slots() * heads_;
        for (layer& l : layers_) {
            for (auto* of : {&l.k, &l.v}) of->resize(static_cast<std::size_t>(rows * row_));
            if constexpr (is_scaled)
                for (auto* of : {&l.k_scale, &l.v_scale}) of->resize(static_cast<std::size_t>(rows));
        }
    }

    /// A layer, for append() and attend().
    auto source(std::size_t layer_index, const pages& at)
    {
        layer& l = layers_[layer_index];
        heed::extents e{at.most_pages(), heads_, at.slots(), dim()};
        const heed::paged_kv rows{heed::bhsd(l.k.data(), e), heed::bhsd(l.v.data(), e), at.table()};
        if constexpr (is_scaled) {
            e.dim = 1;
            return heed::scaled_kv{rows, heed::per_token{heed::bhsd(l.k_scale.data(), e)},
                                   heed::per_token{heed::bhsd(l.v_scale.data(), e)}};
        } else {
            return rows;
        }
    }

    /// Of a token, in all layers.
    int64 token_bytes() const
    {
        const std::size_t row = static_cast<std::size_t>(row_) * sizeof(E) + (is_scaled ? sizeof(float) : 0);
        return static_cast<int64>(layers_.size() * 2 * row) * heads_;
    }

private:
    static constexpr int64 padding(int64 head_dim)
    {
        return (heed::channels_of<E> - head_dim % heed::channels_of<E>) % heed::channels_of<E>;
    }

    struct layer {
        std::vector<E> k, v;
        std::vector<float> k_scale, v_scale;
    };

    int64 heads_, row_;  // row_: elements, blocks counting as one
    std::vector<layer> layers_;
};

}  // namespace llama2c
