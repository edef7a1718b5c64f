// SPDX-License-Identifier: MIT
#include "attention.hpp"

#include "attention_families.hpp"

namespace twins {

const std::vector<std::string>& normalizer_names()
{
    static const std::vector<std::string> names{"softmax", "softpick",     "softmax1",      "sink",
                                                "sigmoid", "relu-softmax", "rectified-only"};
    return names;
}

std::unique_ptr<attention<float>> make_attention(const std::string& normalizer, int64 context)
{
    auto made = make_exponential_attention(normalizer, context);
    if (!made) made = make_rectified_attention(normalizer);
    if (made) return made;
    std::string known;
    for (const std::string& name : normalizer_names()) known += (known.empty() ? "" : ", ") + name;
    throw input_error("normalizer " + normalizer + ": is none of " + known);
}

}  // namespace twins
