// SPDX-License-Identifier: MIT
#include "watched_attention_of.hpp"

#include "../guide/recipes.hpp"

page::watched_pointer page::watched_relu_softmax(double score_scale, const llama2c::config& model)
{
    return std::make_unique<watched_attention_of<recipe::relu_softmax>>(recipe::relu_softmax{}, score_scale, model);
}
