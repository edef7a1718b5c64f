// SPDX-License-Identifier: MIT
// The kernels that attention_of.hpp promises, for files that are nothing but some of them.
#pragma once

#include "attention_of.hpp"

namespace llama2c {

template <class E, class Normalizer>
std::unique_ptr<cached_attention> attention_over_pages(parts<Normalizer> of)
{
    return std::make_unique<attention_of<Normalizer, paged_cache<E>, all_keys>>(std::move(of));
}

template <class E>
std::unique_ptr<cached_attention> attention_to_chosen(parts<heed::softmax_sink> of)
{
    return std::make_unique<attention_of<heed::softmax_sink, paged_cache<E>, chosen_keys>>(std::move(of));
}

template <class E, class Products>
std::unique_ptr<cached_attention> attention_by(parts<heed::softmax_sink> of)
{
    if constexpr (std::is_same_v<Products, heed::compute<heed::bf16>> && !heed::simd::has_bf16_dots)
        return nullptr;  // as why_not() says; kernels would be compiled for nothing
    else return std::make_unique<attention_of<heed::softmax_sink, paged_cache<E>, all_keys, Products>>(std::move(of));
}

using attention_pointer = std::unique_ptr<cached_attention>;

}  // namespace llama2c
