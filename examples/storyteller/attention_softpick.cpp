// SPDX-License-Identifier: MIT
#include "attention_of.hpp"

namespace llama2c {

template std::unique_ptr<cached_attention> attention_over_pages(const config&, of_layers<heed::softpick>,
                                                                const cache_form&, heed::executor_ref);

}  // namespace llama2c
