// SPDX-License-Identifier: MIT
// A case and its name:
//
//     IMPL/PHASE/NORMALIZER/KV/MASK/bB_hqH_hkvH_sqS_skvS_dD/tT
//     heed/prefill/softpick/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t1
//     heed/decode/softmax/q8_0_page16/all/b1_hq32_hkv8_sq1_skv32768_d128/t1
//     openblas/decode/softmax/f32_sparse90/window1024/b1_hq8_hkv2_sq1_skv32768_d192x128/t2
//     heed/decode/softmax/f16_mla/all/b1_hq128_hkv1_sq1_skv32768_d576x512/t1
#pragma once

#include <cstdint>
#include <string>

namespace bench {

enum class mask_kind { all, causal, window, documents };

/// How a mask is handed to heed: as a policy, or as a table [Sq, Skv] of 0 and -inf, in f32 or f16, of true and false,
/// or of other numbers and -inf, in f32.
enum class mask_form { policy, floats, halves, bools, tilted };

/// Where a token's row stands: [head][token][channel], or [token][head][channel].
enum class kv_layout { bhsd, bshd };

/// A number that looks random, always the same one for x.
std::uint64_t hashed(std::uint64_t x);

/// Keys [begin, end).
struct span {
    std::int64_t begin, end;
};

struct bench_case {
    std::string name, impl, phase, normalizer;
    std::string element;                 // of all four tensors: f32, bf16, f16; or of a cache: int8, q8_0, q4_0, fp8*
    bool native = false;                 // their products too are of bf16: heed::compute<bf16>
    int integer_bits = 0;                // products are of integers, with operands of 16 or 8: compute<std::int8_t>
    int weightless = -1;                 // percent of the keys whose scores are all negative; -1: nothing is planted
    std::int64_t page = 0;               // slots of a page, where K and V lie in pages
    std::int64_t short_keys = 0;         // of all sequences but the last, where they are mixed
    std::int64_t least_keys = 0;         // of a sequence, where lengths are drawn from these to `keys`
    kv_layout layout = kv_layout::bhsd;  // of K and V
    bool mla = false;                    // V is the first Dv channels of K's rows
    std::int64_t layers = 1;             // that a run attends one after another, each with K and V of its own
    mask_kind mask = mask_kind::all;
    mask_form form = mask_form::policy;
    std::int64_t mask_size = 0;  // N of windowN, documentsN
    std::int64_t batch = 0, query_heads = 0, kv_heads = 0, queries = 0, keys = 0, key_dim = 0, value_dim = 0;
    int threads = 0;

    std::int64_t group() const { return query_heads / kv_heads; }
    /// Whether K and V are in a cache of a kind of its own, and queries and outputs float.
    bool over_cache() const { return page > 0 || (element != "f32" && element != "bf16" && element != "f16"); }
    /// Whether sequences have lengths of their own.
    bool ragged() const { return short_keys > 0 || least_keys > 0; }
    std::int64_t keys_of(std::int64_t sequence) const;
    std::int64_t total_keys() const;
    /// Layers whose K and V lie in memory: all, or as many as no cache holds, which then stand for the others too.
    std::int64_t layers_held() const;

    /// What a query row attends. Every mask is causal but `all`, aligned bottom-right.
    span attended(std::int64_t query) const;
    /// The first position of document d; that of document mask_size is the number of keys.
    std::int64_t document_begin(std::int64_t d) const { return d * keys / mask_size; }

    /// 2 (Dqk + Dv) for each attended (query, key), a product and a sum being two; backward: 2 (3 Dqk + 2 Dv).
    double flops() const;
    /// The same with the masked pairs: the work of an implementation that knows no mask.
    double unmasked_flops() const;
    /// K and V of the keys that any row attends, read once.
    double kv_bytes() const;
    /// Q, K, V and the output, each once: what no implementation can avoid.
    double tensor_bytes() const;
    /// What the inputs of a case take in memory, about; more than 64 bits hold is possible.
    double memory_bytes() const;

private:
    double flops_a_pair() const;
    double bytes_a_key() const;
    double row_bytes(std::int64_t dim) const;  // with its scales
};

/// Returns what is wrong with the name, or an empty string.
std::string parse(const std::string& name, bench_case&);

/// The case that `parse` accepts; for names that this program made up itself.
bench_case parsed(const std::string& name);

/// The name of the same problem for another implementation.
std::string name_for(const std::string& impl, const bench_case&);

}  // namespace bench
