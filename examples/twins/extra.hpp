// SPDX-License-Identifier: MIT
// For a file with normalizers of one's own, which `cmake -DTWINS_EXTRA=FILE.cpp` builds in: a functor, and a line that
// names it. extra.cpp is one to copy.
//
//     #include <twins/extra.hpp>
//
//     struct mine { ... };                                  // heed's contract: examples/guide/normalizers.md
//
//     void twins::add_extra(normalizer_table<number>& all)
//     {
//         all.add({"mine", "what p_ij is"}, mine{});
//         all.add({"mine-capped", "what p_ij is"}, heed::softcap{30}, mine{});          // score maps before it
//         all.add({"mine-sink", "what p_ij is", [](std::int64_t) { return 0.; }},       // a head learns one, from 0
//                 [](const heads& h) { return heed::softmax_sink{h.learned, h.count}; });
//     }
#pragma once

#include "attention_of.hpp"
#include "normalizers.hpp"

namespace twins {

/// Kernels for what `make` gives for `const heads&`: a policy, or a std::tuple of them.
template <class T, class Make>
kernels<T> kernels_made_by(Make make)
{
    return {[make](int64 context) { return std::make_unique<attention_of<T, Make>>(make, context); },
            attention_of<T, Make>::has_parameter};
}

/// Kernels for policies that are known beforehand.
template <class T, class... Policies>
kernels<T> kernels_of(Policies... policies)
{
    return kernels_made_by<T>([=](const heads&) { return std::tuple{policies...}; });
}

template <class T>
template <class First, class... Policies>
void normalizer_table<T>::add(normalizer line, First first, Policies... rest)
{
    if constexpr (std::is_invocable_v<const First&, const heads&>) {
        static_assert(sizeof...(rest) == 0, "twins: a function that makes policies stands alone: it gives all of them");
        add(std::move(line), kernels_made_by<T>(first));
    } else {
        add(std::move(line), kernels_of<T>(first, rest...));
    }
}

}  // namespace twins
