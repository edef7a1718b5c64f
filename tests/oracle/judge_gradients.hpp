// SPDX-License-Identifier: MIT
// What backward makes of the families, of the grid of normalizers, masks and score maps, and of bands over many tiles,
// put to the gradient gate.
#pragma once

#include "gradient_gate.hpp"
#include "grid.hpp"
#include "samples.hpp"
#include "scoreboard.hpp"

namespace oracle {

template <class E, class Def>
gradient_verdict judged_gradient(const Def& def, const test::gradient_problem<E>& p)
{
    return gradient_gate<Def, E>(def, p).judge(p.backward(def));
}

template <class E>
std::string label(const char* normalizer)
{
    return std::string(normalizer) + " " + name_of<E>();
}

/// Definitions without mask and maps have kernels of their own; those of double go through the ones of the grid.
template <class E, class Normalizer>
auto plain(const Normalizer& normalizer, double scale)
{
    if constexpr (std::is_same_v<E, float>) return heed::attention{normalizer, heed::scale{scale}};
    else return of_grid(normalizer, some_maps<E>{}, some_mask(heed::all_keys{}), heed::query_offset{0}, scale);
}

template <class E>
void judge_gradients_of_families(scoreboard& board)
{
    for_each_family<E>(300, [&](const std::string& family, const sample<E>& x) {
        const test::gradient_problem<E> p(x.p);
        test::for_each_normalizer(p.q.size.heads, [&](const char* name, const auto& normalizer) {
            if (is_power(normalizer) && !x.powers) return;
            board.note(label<E>(name), family, judged_gradient(plain<E>(normalizer, x.scale), p));
        });
    });
}

/// softmax and softpick meet every mask with every score map; the others every mask and every map, in turn. `stride`
/// thins out the masks.
template <class E>
void judge_gradients_of_grid(scoreboard& board, std::size_t step)
{
    using T = heed::compute_t<E>;
    const tables<T> of;
    const test::gradient_problem<E> p(test::problem<E>(of.batch, of.heads, 2, of.queries, of.keys, 19, 21, 77, 3));
    const auto maps = of.maps();
    const auto masks = of.masks();
    std::size_t turn = 0;
    test::for_each_normalizer(of.heads, [&](const std::string& name, const auto& normalizer) {
        if (sizeof(E) == 2 && name != "softmax" && name != "softpick") return;
        for (std::size_t mask = 0; mask < masks.size(); mask += step, ++turn)
            for (std::size_t map = 0; map < maps.size(); ++map) {
                if (name != "softmax" && name != "softpick" && map != turn % maps.size()) continue;
                const auto def = of_grid(normalizer, maps[map].second, masks[mask].second, of.offset());
                board.note(label<E>(name.c_str()), masks[mask].first + " x " + maps[map].first,
                           judged_gradient(def, p));
            }
    });
}

/// Several tiles of keys and blocks of rows, of which the mask skips some and cuts others.
template <class E>
void judge_gradients_of_bands(scoreboard& board)
{
    const test::gradient_problem<E> p(test::problem<E>(1, 4, 2, 230, 500, 21, 18, 78, 3));
    const heed::query_offset late{260};
    using heed::causal, heed::window;
    const std::vector<some_mask> masks{some_mask(causal{} & window{.left = 7}),
                                       some_mask(window{.left = 3, .right = 250}), some_mask(causal{})};
    std::size_t turn = 0;
    test::for_each_normalizer(4, [&](const char* name, const auto& normalizer) {
        const auto def = of_grid(normalizer, some_maps<E>{}, masks[turn++ % 3], late);
        board.note(label<E>(name), "bands over tiles", judged_gradient(def, p));
    });
}

}  // namespace oracle
