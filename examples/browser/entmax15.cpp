// SPDX-License-Identifier: MIT
#include "watched_attention_of.hpp"

page::watched_pointer page::watched_entmax15(double score_scale, const llama2c::config& model)
{
    return std::make_unique<watched_attention_of<heed::entmax15>>(heed::entmax15{}, score_scale, model);
}
