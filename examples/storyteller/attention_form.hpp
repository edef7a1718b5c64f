// SPDX-License-Identifier: MIT
// How a model attends, as whoever runs it chooses: what keys and values are kept as and in which order, what products
// are made of, and how many keys a row attends.
#pragma once

#include "llama2c.hpp"

#include <iterator>

namespace llama2c {

/// What keys and values are kept as. int8 and fp8 (e4m3) have a scale for each token and head, the others from q8_0 on
/// are blocks of 32 channels with a scale of their own.
enum class element { f32, bf16, f16, int8, fp8, q8_0, q5_1, q5_0, q4_1, q4_0, iq4_nl, mxfp4 };
inline constexpr const char* element_names[] = {"f32",  "bf16", "f16",  "int8", "fp8",    "q8_0",
                                                "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "mxfp4"};

/// The order of a cache: [head][token][channel] or [token][head][channel].
enum class layout { head, token };
inline constexpr const char* layout_names[] = {"head", "token"};

/// What queries are multiplied with keys as, and weights with values: floats, or what heed::compute names: pairs of
/// bf16, and whole numbers, of 8 bits in the cache and of 16 or 8 in queries and weights.
enum class products { floats, bf16, int8, int8_by8 };
inline constexpr const char* products_names[] = {"float", "bf16", "int8", "int8_by8"};

inline const char* name_of(element e) { return element_names[static_cast<int>(e)]; }
inline const char* name_of(products p) { return products_names[static_cast<int>(p)]; }

/// The value of an option that is one of these names. Throws input_error for others.
template <class E, std::size_t N>
E one_of(const std::string& option, const std::string& name, const char* const (&names)[N])
{
    std::string all;
    for (std::size_t i = 0; i < N; ++i) {
        if (name == names[i]) return static_cast<E>(i);
        all += (i ? ", " : "") + std::string(names[i]);
    }
    throw input_error(option + " " + name + ": is none of " + all);
}

struct attention_form {
    element as = element::f32;
    int64 page = 0;  ///< tokens; 0: the whole context
    int64 sequences = 1;
    layout order = layout::head;
    products multiply = products::floats;
    int64 select = 0;  ///< how many blocks of keys a row attends, at most; 0: all
    int64 block = 1;   ///< tokens of such a block
};

}  // namespace llama2c
