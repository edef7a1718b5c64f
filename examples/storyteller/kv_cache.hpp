// SPDX-License-Identifier: MIT
// Keys and values of all layers of a model, for several sequences. Contiguous: floats, [sequence][kv head][token]
// [channel] a layer, each sequence as long as the context. Paged: elements of E, a pool of pages [page][kv head][slot]
// [channel] a layer. Or, by attention_form::order, a token's heads side by side in either.
//
// Blocks have 32 channels. Rows of heads of another size have their own channels again behind the last, up to a whole
// block: with zeros there in the query they change no score, those of v only make outputs that nobody reads, and a
// block of the same numbers has the same scale (and, of q4_1 and q5_1, the same least number), so that they make the
// others no coarser. What they cost is memory: heads of 8 take 34 bytes in q8_0 and 32 in f32.
#pragma once

#include "attention.hpp"
#include "pages.hpp"

#include <heed/append.hpp>

#include <numeric>

namespace llama2c {

/// [batch, heads, tokens, channels] in memory of either order.
template <class E>
heed::view<E> rows_in(layout order, E* data, const heed::extents& e)
{
    return order == layout::token ? heed::bshd(data, e) : heed::bhsd(data, e);
}

class contiguous_cache {
public:
    contiguous_cache(const config& c, const attention_form& form)
        : c_(c), order_(form.order), lengths_(static_cast<std::size_t>(form.sequences)),
          keys_(static_cast<std::size_t>(c.layers * form.sequences * c.context * c.kv_dim())), values_(keys_.size())
    {}

    /// Channels that rows of k, v and q have.
    int64 dim() const { return c_.head_dim(); }
    int64 sequences() const { return static_cast<int64>(lengths_.size()); }
    int64 length(int64 sequence) const { return lengths_[static_cast<std::size_t>(sequence)]; }

    /// Makes room for so many more tokens of each sequence.
    void extend(const std::vector<int64>& tokens)
    {
        for (std::size_t b = 0; b < tokens.size(); ++b) lengths_[b] += tokens[b];
        most_tokens_ = std::max(most_tokens_, std::accumulate(lengths_.begin(), lengths_.end(), int64{0}));
    }
    void release(int64 sequence) { lengths_[static_cast<std::size_t>(sequence)] = 0; }

    /// A layer, for append() and attend().
    auto source(int64 layer)
    {
        const heed::extents e{sequences(), c_.kv_heads, c_.context, c_.head_dim()};
        const int64 at = layer * e.batch * c_.context * c_.kv_dim();
        return heed::dense_kv{rows_in(order_, keys_.data() + at, e), rows_in(order_, values_.data() + at, e),
                              heed::index_view{lengths_.data(), sequences()}};
    }

    cache_size size() const
    {
        const auto bytes = static_cast<int64>(2 * sizeof(float) * keys_.size());
        return {most_tokens_, sequences() * c_.context, bytes, bytes};
    }

private:
    const config c_;
    layout order_;
    std::vector<int64> lengths_;
    std::vector<float> keys_, values_;
    int64 most_tokens_ = 0;
};

/// Where no size of pages is asked for, a page holds the whole context: contiguous too, with the same kernels.
template <class E>
class paged_cache {
    // One float for each token and head.
    static constexpr bool is_scaled = std::is_same_v<E, std::int8_t> || std::is_same_v<E, heed::fp8_e4m3>;

public:
    paged_cache(const config& c, const attention_form& form)
        : c_(c), order_(form.order), row_((c.head_dim() + heed::channels_of<E> - 1) / heed::channels_of<E>),
          pages_(form.sequences, c.context, form.page ? form.page : c.context),
          layers_(static_cast<std::size_t>(c.layers))
    {}

    int64 dim() const { return row_ * heed::channels_of<E>; }
    int64 sequences() const { return pages_.sequences(); }
    int64 length(int64 sequence) const { return pages_.length(sequence); }

    void extend(const std::vector<int64>& tokens)
    {
        for (std::size_t b = 0; b < tokens.size(); ++b) pages_.extend(static_cast<int64>(b), tokens[b]);
        const int64 rows = pages_.most_pages() * pages_.slots() * c_.kv_heads;
        for (pool& l : layers_) {
            for (auto* of : {&l.k, &l.v}) of->resize(static_cast<std::size_t>(rows * row_));
            if constexpr (is_scaled)
                for (auto* of : {&l.k_scale, &l.v_scale}) of->resize(static_cast<std::size_t>(rows));
        }
    }
    void release(int64 sequence) { pages_.release(sequence); }

    auto source(int64 layer)
    {
        pool& l = layers_[static_cast<std::size_t>(layer)];
        heed::extents e{pages_.most_pages(), c_.kv_heads, pages_.slots(), dim()};
        const heed::paged_kv rows{rows_in(order_, l.k.data(), e), rows_in(order_, l.v.data(), e), pages_.table()};
        if constexpr (is_scaled) {
            e.dim = 1;
            return heed::scaled_kv{rows, heed::per_token{rows_in(order_, l.k_scale.data(), e)},
                                   heed::per_token{rows_in(order_, l.v_scale.data(), e)}};
        } else {
            return rows;
        }
    }

    cache_size size() const
    {
        const int64 room = pages_.most_pages() * pages_.slots(), rows = 2 * room * c_.layers * c_.kv_heads;
        constexpr int64 element = sizeof(E), scale = is_scaled ? sizeof(float) : 0, f32 = sizeof(float);
        return {pages_.most_tokens(), room, rows * (row_ * element + scale), rows * c_.head_dim() * f32};
    }

private:
    struct pool {
        std::vector<E> k, v;
        std::vector<float> k_scale, v_scale;
    };

    const config c_;
    layout order_;
    int64 row_;  // elements, blocks counting as one
    pages pages_;
    std::vector<pool> layers_;
};

}  // namespace llama2c
