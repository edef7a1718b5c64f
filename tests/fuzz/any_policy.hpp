// SPDX-License-Identifier: MIT
// The library's own policies behind what a recipe says, chosen at run time: each kernel is compiled once for all.
#pragma once

#include "recipe.hpp"

#include <variant>

namespace fuzz {

/// A score map.
template <class T>
struct any_map {
    const map_step<T>* step;

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        switch (step->what) {
        case map_step<T>::softcap: return heed::softcap{step->cap}.map(s, at);
        case map_step<T>::alibi: return heed::alibi{step->slopes, step->heads}.map(s, at);
        case map_step<T>::bias: return heed::bias<T>(step->table.view()).map(s, at);
        default: return s;
        }
    }
    heed::status check(const heed::problem& p) const
    {
        switch (step->what) {
        case map_step<T>::softcap: return heed::softcap{step->cap}.check(p);
        case map_step<T>::alibi: return heed::alibi{step->slopes, step->heads}.check(p);
        case map_step<T>::bias: return heed::bias<T>(step->table.view()).check(p);
        default: return {};
        }
    }
};

class any_leaf {
    struct where {
        unsigned salt;
        bool attends(const heed::query_place& at, int64 key) const
        {
            return mask_leaf::predicate(salt, at.batch, at.head, at.position, key);
        }
    };
    std::variant<heed::all_keys, heed::causal, heed::window, heed::prefix, heed::key_lengths, heed::document,
                 heed::dense_mask, where>
        mask_;

public:
    explicit any_leaf(const mask_leaf& m)
    {
        switch (m.what) {
        case mask_leaf::all: break;
        case mask_leaf::causal: mask_ = heed::causal{}; break;
        case mask_leaf::top_left: mask_ = heed::causal::top_left(); break;
        case mask_leaf::offset: mask_ = heed::causal::offset(m.left); break;
        case mask_leaf::window: mask_ = heed::window{m.left, m.right}; break;
        case mask_leaf::prefix: mask_ = heed::prefix{m.left}; break;
        case mask_leaf::lengths: mask_ = heed::key_lengths{m.numbers, m.count}; break;
        case mask_leaf::document: mask_ = heed::document{m.numbers, m.count}; break;
        case mask_leaf::dense: mask_ = heed::dense_mask{m.table.view()}; break;
        case mask_leaf::where: mask_ = where{m.salt}; break;
        }
    }
    bool attends(const heed::query_place& at, int64 key) const
    {
        return std::visit([&](const auto& m) { return m.attends(at, key); }, mask_);
    }
    heed::coverage classify(const heed::block_place& block) const
    {
        return std::visit([&](const auto& m) { return heed::classify(m, block); }, mask_);
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        std::visit([&](const auto& m) { heed::mark(m, at, first, count, bits); }, mask_);
    }
    heed::status check(const heed::problem& p) const
    {
        return std::visit(
            [&](const auto& m) -> heed::status {
                if constexpr (requires { m.check(p); }) return m.check(p);
                else return {};
            },
            mask_);
    }
};

class any_mask {
    std::variant<any_leaf, heed::both_masks<any_leaf, any_leaf>, heed::either_mask<any_leaf, any_leaf>> tree_;

public:
    explicit any_mask(const mask_tree& t) : tree_(any_leaf(t.a))
    {
        if (t.what == mask_tree::both) tree_ = heed::operator&(any_leaf(t.a), any_leaf(t.b));
        if (t.what == mask_tree::either) tree_ = heed::operator|(any_leaf(t.a), any_leaf(t.b));
    }
    bool attends(const heed::query_place& at, int64 key) const
    {
        return std::visit([&](const auto& m) { return m.attends(at, key); }, tree_);
    }
    heed::coverage classify(const heed::block_place& block) const
    {
        return std::visit([&](const auto& m) { return m.classify(block); }, tree_);
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        std::visit([&](const auto& m) { m.mark(at, first, count, bits); }, tree_);
    }
    heed::status check(const heed::problem& p) const
    {
        return std::visit([&](const auto& m) { return m.check(p); }, tree_);
    }
};

template <class T>
heed::query_offset offsets_of(const recipe<T>& r)
{
    if (r.offset_table) return {r.offset_table, static_cast<int64>(r.offsets.size())};
    return heed::query_offset{r.offsets[0]};
}

/// A definition of one kind of normalizer, with all else.
template <class T, class Normalizer>
auto whole_definition(const recipe<T>& r, const Normalizer& n)
{
    return heed::attention{
        n, heed::scale{r.scale}, any_map<T>{&r.maps[0]}, any_map<T>{&r.maps[1]}, any_mask(r.mask), offsets_of(r)};
}
template <class T, class Normalizer>
auto plain_definition(const recipe<T>& r, const Normalizer& n)
{
    return heed::attention{n, heed::scale{r.scale}};
}

}  // namespace fuzz
