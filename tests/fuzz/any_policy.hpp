// SPDX-License-Identifier: MIT
// The library's own policies behind what a recipe says, chosen at run time: each kernel is compiled once for all.
#pragma once

#include "recipe.hpp"

#include <memory>
#include <variant>
#include <vector>

namespace fuzz {

/// A table as an attention mask, with a summary of its own if it is to have one and may.
template <class E>
class any_table {
    std::shared_ptr<std::vector<std::byte>> memory_ = std::make_shared<std::vector<std::byte>>();

public:
    heed::attention_mask<E> mask;

    any_table(const heed::view<const E>& table, bool is_summarised) : mask(table)
    {
        if (!is_summarised) return;
        memory_->resize(heed::summary_bytes(table));
        (void)heed::summarise(table, {memory_->data(), memory_->size()}, mask.summary);
    }
};

/// A score map; and a mask, which it is where it is an attention mask.
template <class T>
struct any_map {
    const map_step<T>* step;
    any_table<T> table;

    explicit any_map(const map_step<T>* s)
        : step(s), table(s->table.view(), s->what == map_step<T>::bias && s->is_attention_mask && s->is_summarised)
    {}
    bool is_mask() const { return step->what == map_step<T>::bias && step->is_attention_mask; }
    bool attends(const heed::query_place& at, int64 key) const { return !is_mask() || table.mask.attends(at, key); }
    heed::coverage classify(const heed::block_place& block) const
    {
        return is_mask() ? table.mask.classify(block) : heed::coverage::full;
    }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        if (is_mask()) table.mask.mark(at, first, count, bits);
        else bits.set_range(0, count);
    }
    bool changes(const heed::block_place& block) const
    {
        return is_mask() ? table.mask.changes(block) : step->what != map_step<T>::none;
    }

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        if (is_mask()) return table.mask.map(s, at);
        switch (step->what) {
        case map_step<T>::softcap: return heed::softcap{step->cap}.map(s, at);
        case map_step<T>::alibi: return heed::alibi{step->slopes, step->heads}.map(s, at);
        case map_step<T>::bias: return heed::bias<T>(step->table.view()).map(s, at);
        case map_step<T>::decay: return heed::decay<T>(step->table.view()).map(s, at);
        case map_step<T>::log_length: return log_length().map(s, at);
        default: return s;
        }
    }
    heed::log_length_scale log_length() const
    {
        heed::log_length_scale map{step->slopes, step->heads};
        map.offset = step->offset;
        map.least = step->least;
        return map;
    }
    heed::status check(const heed::problem& p) const
    {
        if (is_mask()) return table.mask.check(p);
        switch (step->what) {
        case map_step<T>::softcap: return heed::softcap{step->cap}.check(p);
        case map_step<T>::alibi: return heed::alibi{step->slopes, step->heads}.check(p);
        case map_step<T>::bias: return heed::bias<T>(step->table.view()).check(p);
        case map_step<T>::decay: return heed::decay<T>(step->table.view()).check(p);
        case map_step<T>::log_length: return log_length().check(p);
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
    struct table_of_bools : any_table<bool> {
        explicit table_of_bools(const heed::view<const bool>& v) : any_table<bool>(v, true) {}
        bool attends(const heed::query_place& at, int64 key) const { return mask.attends(at, key); }
        heed::coverage classify(const heed::block_place& block) const { return mask.classify(block); }
        void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
        {
            mask.mark(at, first, count, bits);
        }
        heed::status check(const heed::problem& p) const { return mask.check(p); }
    };
    std::variant<heed::all_keys, heed::causal, heed::window, heed::prefix, heed::key_lengths, heed::document,
                 heed::dense_mask, where, table_of_bools>
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
        case mask_leaf::dense:
            if (m.is_summarised) mask_ = table_of_bools(m.table.view());
            else mask_ = heed::dense_mask{m.table.view()};
            break;
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
        n, heed::scale{r.scale}, any_map<T>(&r.maps[0]), any_map<T>(&r.maps[1]), any_mask(r.mask), offsets_of(r)};
}
template <class T, class Normalizer>
auto plain_definition(const recipe<T>& r, const Normalizer& n)
{
    return heed::attention{n, heed::scale{r.scale}};
}

}  // namespace fuzz
