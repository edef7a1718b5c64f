// SPDX-License-Identifier: MIT
#include "../guide/recipes.hpp"
#include "attention_families.hpp"
#include "attention_of.hpp"

namespace twins {

std::unique_ptr<attention<float>> make_rectified_attention(const std::string& normalizer)
{
    const auto with = [](auto n) -> std::unique_ptr<attention<float>> {
        using make = make_fixed<decltype(n)>;
        return std::make_unique<attention_of<float, make>>(make{n});
    };
    if (normalizer == "softpick") return with(heed::softpick{});
    if (normalizer == "relu-softmax") return with(recipe::relu_softmax{});
    if (normalizer == "rectified-only") return with(recipe::rectified_only{});
    return nullptr;
}

}  // namespace twins
