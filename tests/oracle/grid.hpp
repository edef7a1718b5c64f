// SPDX-License-Identifier: MIT
// Masks and score maps of every kind, and the tables that they refer to.
#pragma once

#include "some_policies.hpp"

#include <array>
#include <memory>
#include <string>
#include <utility>

namespace oracle {

/// Tables that masks and score maps refer to.
template <class T>
struct tables {
    static constexpr int64 batch = 2, heads = 4, queries = 37, keys = 61;
    std::array<int64, 4> bounds{0, 20, 20, 50};
    std::array<int64, 2> lengths{61, 23}, offsets{24, -5};
    std::array<float, 4> slopes{0.5f, 0.25f, 0.125f, 0.0625f};
    std::unique_ptr<bool[]> allowed = std::make_unique<bool[]>(static_cast<std::size_t>(batch * queries * keys));
    test::tensor<T> added = test::normal<T>({1, heads, queries, keys}, 5);
    test::tensor<T> gates = test::normal<T>({batch, heads, 1, keys}, 7);

    tables()
    {
        std::mt19937_64 random(6);
        for (int64 i = 0; i < batch * queries * keys; ++i)
            allowed[static_cast<std::size_t>(i)] = i / keys % 9 != 4 && random() % 3 != 0;  // some rows are empty
        for (std::size_t i = 0; i < added.data.size(); ++i)
            if (random() % 5 == 0) added.data[i] = -std::numeric_limits<T>::infinity();
    }
    static heed::query_offset offset() { return heed::query_offset{keys - queries}; }
    std::vector<std::pair<std::string, some_mask>> masks() const
    {
        using namespace heed;
        const view<const bool> table = bhsd(static_cast<const bool*>(allowed.get()), {batch, 1, queries, keys});
        const auto odd = [](int64 b, int64 h, int64 query, int64 key) { return (b + h + query + key) % 3 != 0; };
        return {{"all_keys", some_mask(all_keys{})},
                {"causal", some_mask(causal{})},
                {"causal top left", some_mask(causal::top_left())},
                {"causal offset -7", some_mask(causal::offset(-7))},
                {"window", some_mask(window{.left = 9, .right = 4})},
                {"causal & window", some_mask(causal{} & window{.left = 5})},
                {"prefix | causal", some_mask(prefix{30} | causal{})},
                {"document & causal", some_mask(document{bounds.data(), 4} & causal{})},
                {"dense_mask", some_mask(dense_mask{table})},
                {"key_lengths", some_mask(key_lengths{lengths.data(), batch})},
                {"attend_where", some_mask(attend_where{odd})},
                {"window | dense_mask & key_lengths",
                 some_mask(window{.left = 2, .right = 2} | (dense_mask{table} & key_lengths{lengths.data(), batch}))}};
    }
    std::vector<std::pair<std::string, some_maps<T>>> maps() const
    {
        const heed::bias bias(added.in());
        const heed::alibi alibi(slopes.data(), heads);
        return {{"no map", {}},
                {"softcap", {heed::softcap{2.5}, {}, {}}},
                {"alibi", {{}, alibi, {}}},
                {"bias", {{}, {}, bias}},
                {"softcap, bias", {heed::softcap{1.5}, {}, bias}},
                {"alibi, bias", {{}, alibi, bias}},
                {"decay", {heed::decay(gates.in()), {}, {}}},
                {"log length, bias", {{}, heed::log_length_scale(slopes.data(), heads), bias}},
                {"map of one's own", {farther_is_less{}, {}, {}}}};
    }
};

/// One type of definition for the whole grid of a normalizer.
template <class Normalizer, class T>
auto of_grid(const Normalizer& normalizer, const some_maps<T>& maps, const some_mask& mask,
             const heed::query_offset& offset, double scale = 0.3)
{
    return heed::attention{normalizer, maps.bent, maps.tilted, maps.shifted, mask, heed::scale{scale}, offset};
}

}  // namespace oracle
