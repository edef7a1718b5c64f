// SPDX-License-Identifier: MIT
// One type for every mask and one for every score map, so that a grid of policies is no grid of templates.
#pragma once

#include "../tensors.hpp"

#include <functional>
#include <type_traits>
#include <variant>

namespace oracle {

using test::int64;

/// Any mask, with its own classify and mark.
class some_mask {
public:
    template <class Mask, class = std::enable_if_t<!std::is_same_v<Mask, some_mask>>>
    explicit some_mask(Mask mask)
        : attends_([mask](const heed::query_place& at, int64 key) { return mask.attends(at, key); }),
          classify_([mask](const heed::block_place& block) { return heed::classify(mask, block); }),
          mark_([mask](const heed::query_place& at, int64 first, int count, heed::key_bits& bits) {
              heed::mark(mask, at, first, count, bits);
          }),
          check_([mask](const heed::problem& p) { return heed::detail::check_mask(mask, p); })
    {}
    bool attends(const heed::query_place& at, int64 key) const { return attends_(at, key); }
    heed::coverage classify(const heed::block_place& block) const { return classify_(block); }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        mark_(at, first, count, bits);
    }
    heed::status check(const heed::problem& p) const { return check_(p); }

private:
    std::function<bool(const heed::query_place&, int64)> attends_;
    std::function<heed::coverage(const heed::block_place&)> classify_;
    std::function<void(const heed::query_place&, int64, int, heed::key_bits&)> mark_;
    std::function<heed::status(const heed::problem&)> check_;
};

/// A score map without a parameter that is learned.
struct farther_is_less {
    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        using E = typename heed::lanes_of<V>::element;
        return s - V(E(0.0625)) * heed::abs(at.keys() - V(static_cast<E>(at.position)));
    }
    template <class V>
    V slope(V, const heed::score_place<V>&) const
    {
        return V(1);
    }
};

/// One of these score maps, whose parameters are of that kind, or none of them.
template <heed::parameter Kind, class... Maps>
class some_map {
public:
    some_map() = default;
    template <class Map, class = std::enable_if_t<(std::is_same_v<Map, Maps> || ...)>>
    some_map(Map map) : choice_(std::move(map))
    {}

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return visit(s, [&](const auto& m) { return m.map(s, at); });
    }
    template <class V>
    V slope(V s, const heed::score_place<V>& at) const
    {
        return visit(V(1), [&](const auto& m) { return m.slope(s, at); });
    }
    static constexpr heed::parameter parameter = Kind;
    template <class V>
    V parameter_slope(V s, const heed::score_place<V>& at) const
    {
        if constexpr (Kind == heed::parameter::none) return V(0);
        else return visit(V(0), [&](const auto& m) { return m.parameter_slope(s, at); });
    }
    heed::status check(const heed::problem& p) const
    {
        return visit(heed::status{}, [&](const auto& m) {
            if constexpr (heed::detail::has_check<std::decay_t<decltype(m)>>::value) return m.check(p);
            else return heed::status{};
        });
    }

private:
    template <class R, class F>
    R visit(R none, F f) const
    {
        return std::visit(
            [&](const auto& m) -> R {
                if constexpr (std::is_same_v<std::decay_t<decltype(m)>, std::monostate>) return none;
                else return f(m);
            },
            choice_);
    }
    std::variant<std::monostate, Maps...> choice_;
};

/// Up to three score maps, in the order written. T is the element type of tables, which is that of the tensors.
template <class T>
struct some_maps {
    some_map<heed::parameter::none, heed::softcap, farther_is_less, heed::decay<T>> bent;
    some_map<heed::parameter::per_head, heed::alibi, heed::log_length_scale> tilted;
    some_map<heed::parameter::per_score, heed::bias<T>> shifted;
};

}  // namespace oracle
