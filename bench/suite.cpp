// SPDX-License-Identifier: MIT
#include "suite.hpp"

#include <algorithm>

namespace bench {
namespace {

class builder {
public:
    void section(const std::string& name) { section_ = name; }
    void row(const std::string& title, const std::string& tick, const std::string& problem,
             rivals against = rivals::peers)
    {
        rows_.push_back({section_, title, tick, parsed("heed/" + problem), against});
    }
    std::vector<suite_row> rows() const { return rows_; }

private:
    std::string section_;
    std::vector<suite_row> rows_;
};

constexpr rivals heed_alone = rivals::none;

void add_prefill(builder& b)
{
    b.section("prefill, f32");
    for (const std::string mask : {"all", "causal"}) {
        const std::string says = mask == "all" ? "" : ", causal", tick = mask == "all" ? "" : "|causal";
        b.row("2048 x 2048, 8 heads of 128" + says, "2048, D 128" + tick,
              "prefill/softmax/f32/" + mask + "/b1_hq8_hkv8_sq2048_skv2048_d128/t1");
    }
    for (const std::string mask : {"all", "causal"}) {
        const std::string says = mask == "all" ? "" : ", causal", tick = mask == "all" ? "" : "|causal";
        b.row("1024 x 1024, 12 heads of 64" + says, "1024, D 64" + tick,
              "prefill/softmax/f32/" + mask + "/b1_hq12_hkv12_sq1024_skv1024_d64/t1");
    }
    b.row("128 x 128, 64 x 12 heads of 64", "64 x 128|D 64",
          "prefill/softmax/f32/all/b64_hq12_hkv12_sq128_skv128_d64/t1");
    b.row("8192 x 8192, 8/2 heads of 128, causal", "8192, GQA|causal",
          "prefill/softmax/f32/causal/b1_hq8_hkv2_sq8192_skv8192_d128/t1");
    b.row("  8/8 heads, window of 1024", "8192|window",
          "prefill/softmax/f32/window1024/b1_hq8_hkv8_sq8192_skv8192_d128/t1");
    b.row("  8/8 heads, 16 documents", "8192|documents",
          "prefill/softmax/f32/documents16/b1_hq8_hkv8_sq8192_skv8192_d128/t1");
}

void add_head_sizes(builder& b)
{
    b.section("prefill by head size, f32");
    for (const std::string d : {"40", "80", "96", "112", "192", "256"})
        b.row("2048 x 2048, 4 heads of " + d, "D " + d,
              "prefill/softmax/f32/all/b1_hq4_hkv4_sq2048_skv2048_d" + d + "/t1");
    b.row("1024 x 1024, 4 heads of 192 / 128", "192 / 128",
          "prefill/softmax/f32/all/b1_hq4_hkv4_sq1024_skv1024_d192x128/t1");
    b.row("1024 x 1024, 16/1 heads of 576 / 512", "576 / 512",
          "prefill/softmax/f32/all/b1_hq16_hkv1_sq1024_skv1024_d576x512/t1");
}

void add_types_and_normalizers(builder& b)
{
    const std::string size = "b1_hq4_hkv4_sq2048_skv2048_d128/t1";
    b.section("prefill by storage type, 2048 x 2048, 4 heads of 128");
    b.row("f32", "f32", "prefill/softmax/f32/all/" + size, heed_alone);
    for (const std::string type : {"bf16", "f16"}) b.row(type, type, "prefill/softmax/" + type + "/all/" + size);
    b.section("prefill by normalizer, f32, 2048 x 2048, 4 heads of 128");
    for (const std::string n : {"softmax", "softpick", "softmax1", "softmax_sink", "sigmoid", "relu1"})
        b.row(n, n, "prefill/" + n + "/f32/all/" + size, heed_alone);
}

/// Rows of softmax, f32, at three shapes, and below each those of other normalizers: what a row is called, and its
/// case.
void add_beside_softmax(builder& b, const std::string& group,
                        const std::vector<std::pair<std::string, std::string>>& others)
{
    const auto rows = [&](const std::string& what, const std::string& phase, const std::string& size) {
        const auto row = [&](const std::string& name, const std::string& n) {
            b.row(name, group + "|" + n + " " + what, phase + "/" + n + "/f32/all/" + size, heed_alone);
        };
        row("softmax, " + what, "softmax");
        for (const auto& [name, n] : others) row("  " + name, n);
    };
    rows("prefill 2048 x 2048, D 128", "prefill", "b1_hq1_hkv1_sq2048_skv2048_d128/t1");
    rows("prefill 2048 x 2048, D 64", "prefill", "b1_hq1_hkv1_sq2048_skv2048_d64/t1");
    rows("decode 32768 keys, 32/8 heads of 128", "decode", "b1_hq32_hkv8_sq1_skv32768_d128/t1");
}

/// By the share of keys that have a weight; and by how far the scores of stick-breaking are lowered: rows that end
/// early, and rows of all keys.
void add_thresholds_and_orders(builder& b)
{
    b.section("normalizers with a threshold, and the per cent of keys that have a weight, f32");
    add_beside_softmax(b, "threshold",
                       {{"entmax15_1", "entmax15_1"},
                        {"entmax15_10", "entmax15_10"},
                        {"entmax15_50", "entmax15_50"},
                        {"sparsemax_10", "sparsemax_10"},
                        {"top_k_10", "top_k_10"},
                        {"elastic_10", "elastic_10"}});
    b.section("a normalizer with an order, f32");
    add_beside_softmax(b, "order",
                       {{"stick_breaking, rows of 130 keys", "stick_breaking_0"},
                        {"stick_breaking, rows of all", "stick_breaking_9"}});
}

/// What heed's policies, score objects and exact masks cost beside a loop written for softmax.
void add_contract(builder& b)
{
    b.section("the contract: heed's softmax beside one fused by hand, f32");
    const std::string d128 = "b1_hq8_hkv8_sq2048_skv2048_d128/t1", d64 = "b1_hq12_hkv12_sq1024_skv1024_d64/t1";
    b.row("2048 x 2048, 8 heads of 128", "contract|D 128", "prefill/softmax/f32/all/" + d128, rivals::fused);
    b.row("  causal", "contract|causal", "prefill/softmax/f32/causal/" + d128, rivals::fused);
    b.row("1024 x 1024, 12 heads of 64", "contract|D 64", "prefill/softmax/f32/all/" + d64, rivals::fused);
}

void add_backward(builder& b)
{
    b.section("backward, f32, 10 flops a pair and channel");
    const std::string d128 = "b1_hq2_hkv2_sq2048_skv2048_d128/t1", d64 = "b1_hq4_hkv4_sq1024_skv1024_d64/t1";
    for (const std::string n : {"softmax", "softpick", "sigmoid", "entmax15_10"})
        b.row(n + ", 2048 x 2048, 2 heads of 128", "backward|" + n, "backward/" + n + "/f32/all/" + d128, heed_alone);
    for (const std::string n : {"softmax", "softpick"})
        b.row(n + ", causal", "backward|" + n + ", causal", "backward/" + n + "/f32/causal/" + d128, heed_alone);
    b.row("softmax, causal, 1024 x 1024, 4 heads of 64", "backward|D 64", "backward/softmax/f32/causal/" + d64,
          heed_alone);
}

/// What it costs to observe besides.
void add_observing(builder& b)
{
    b.section("observing: attend() and observe() beside attend() alone, f32");
    const std::string d128 = "b1_hq4_hkv4_sq2048_skv2048_d128/t1";
    b.row("2048 x 2048, 4 heads of 128", "observe|D 128", "prefill/softmax/f32/all/" + d128, rivals::observe);
    b.row("  causal", "observe|causal", "prefill/softmax/f32/causal/" + d128, rivals::observe);
    b.row("  causal, softpick", "observe|softpick", "prefill/softpick/f32/causal/" + d128, rivals::observe);
}

void add_native(builder& b)
{
    b.section("products of bf16, and of peak: of bf16 dot products");
    const std::string d128 = "b1_hq8_hkv8_sq2048_skv2048_d128/t1", d64 = "b1_hq12_hkv12_sq1024_skv1024_d64/t1";
    b.row("2048 x 2048, 8 heads of 128", "native|D 128", "prefill/softmax/bf16_native/all/" + d128);
    b.row("  causal", "native|causal", "prefill/softmax/bf16_native/causal/" + d128);
    b.row("1024 x 1024, 12 heads of 64", "native|D 64", "prefill/softmax/bf16_native/all/" + d64);
    b.row("decode, 32768 keys, 32/8 heads of 128", "native|decode",
          "decode/softmax/bf16_native/all/b1_hq32_hkv8_sq1_skv32768_d128/t1");
}

void add_decode(builder& b)
{
    b.section("decode");
    for (const std::string type : {"f32", "bf16", "f16"})
        b.row("32768 keys, 32/8 heads of 128, " + type, "32/8 heads|" + type,
              "decode/softmax/" + type + "/all/b1_hq32_hkv8_sq1_skv32768_d128/t1");
    b.row("32768 keys, 8/8 heads of 64, f32", "8/8 heads|D 64",
          "decode/softmax/f32/all/b1_hq8_hkv8_sq1_skv32768_d64/t1");
    for (const std::string type : {"f32", "bf16"}) {
        b.row("32768 keys, 8/8 heads of 128, " + type, "8/8 heads|" + type,
              "decode/softmax/" + type + "/all/b1_hq8_hkv8_sq1_skv32768_d128/t1");
        b.row("  4 tokens at a time, " + type, "4 tokens|" + type,
              "decode/softmax/" + type + "/causal/b1_hq8_hkv8_sq4_skv32768_d128/t1");
    }
    b.row("16 x 1024 keys, 8/8 heads of 128, f32", "16 x 1024|f32",
          "decode/softmax/f32/all/b16_hq8_hkv8_sq1_skv1024_d128/t1");
    b.section("decode with planted scores, f32, 32768 keys, 8/8 heads of 128");
    for (const std::string sparse : {"00", "90"})
        for (const std::string n : {"softmax", "softpick"})
            b.row(n, n + "|" + sparse + " %",
                  "decode/" + n + "/f32_sparse" + sparse + "/all/b1_hq8_hkv8_sq1_skv32768_d128/t1", heed_alone);
    b.section("decode by cache length, f32, 8/2 heads of 128");
    for (const std::string keys : {"1024", "16384", "262144"})
        b.row(keys + " keys", keys + " keys", "decode/softmax/f32/all/b1_hq8_hkv2_sq1_skv" + keys + "_d128/t1");
}

/// Caches as engines hold them.
void add_caches(builder& b)
{
    const std::string gqa = "b1_hq32_hkv8_sq1_skv32768_d128/t1";
    b.section("decode over quantised caches, 32768 keys, heads of 128");
    for (const std::string type : {"int8", "q8_0", "q4_0", "fp8", "fp8_e5m2"})
        b.row(type + ", 32/8 heads", type + "|32/8", "decode/softmax/" + type + "/all/" + gqa, heed_alone);
    b.section("the same in products of integers, of queries and weights of 16 or 8 bits");
    for (const std::string bits : {"16", "8"})
        for (const std::string type : {"int8", "q8_0", "q4_0"})
            b.row(type + ", 32/8 heads, " + bits + " bits", type + "|by " + bits,
                  "decode/softmax/" + type + "_by" + bits + "/all/" + gqa, heed_alone);
    b.section("pages of 16 tokens, in no order, beside the same numbers in one piece");
    for (const std::string type : {"f32", "q8_0"})
        b.row("decode, 32768 keys, 32/8 heads of 128, " + type, "pages|" + type,
              "decode/softmax/" + type + "_page16/all/" + gqa, rivals::dense);
    b.row("prefill, 2048 x 2048, 4 heads of 128, q8_0", "pages|prefill",
          "prefill/softmax/q8_0_page16/all/b1_hq4_hkv4_sq2048_skv2048_d128/t1", rivals::dense);
    b.section("batches of sequences of different lengths, f32, in pages of 16 tokens");
    b.row("decode, 63 of 256 keys and one of 16384, 8/8 heads of 128", "mixed",
          "decode/softmax/f32_page16_mixed256/all/b64_hq8_hkv8_sq1_skv16384_d128/t1", heed_alone);
    b.row("decode, 256 of 128 to 1024 keys, 32/8 heads of 128", "random lengths",
          "decode/softmax/f32_page16_random128/all/b256_hq32_hkv8_sq1_skv1024_d128/t1", heed_alone);
}

/// K and V as engines lay them out, masks as they hand them over.
void add_engines(builder& b)
{
    b.section("decode, K and V as [token][head][channel], beside [head][token]");
    for (const std::string type : {"f32", "f16", "bf16", "q8_0", "q4_0", "int8"})
        b.row("32768 keys, 32/8 heads of 128, " + type, "by token|" + type,
              "decode/softmax/" + type + "_bshd/all/b1_hq32_hkv8_sq1_skv32768_d128/t1", rivals::dense);
    for (const std::string type : {"f32", "f16", "q8_0"}) {
        b.row("4096 keys, 32/8 heads of 128, " + type, "by token|4096 " + type,
              "decode/softmax/" + type + "_bshd/all/b1_hq32_hkv8_sq1_skv4096_d128/t1", rivals::dense);
        b.row("32768 keys, 16/4 heads of 128, " + type, "by token|16/4 " + type,
              "decode/softmax/" + type + "_bshd/all/b1_hq16_hkv4_sq1_skv32768_d128/t1", rivals::dense);
    }
    b.section("prefill with a table for a mask, beside the mask as a policy, f32");
    const std::string square = "/b1_hq8_hkv8_sq2048_skv2048_d128/t1";
    for (const std::string mask : {"causal_floats", "causal_halves", "causal_bools", "window512_halves",
                                   "documents8_bools", "all_floats", "causal_tilted"})
        b.row("2048 x 2048, 8 heads of 128, " + mask, "table|" + mask, "prefill/softmax/f32/" + mask + square,
              rivals::policy);
    b.row("512 behind 7680, 32/8 heads of 128, causal_halves", "table|behind 7680",
          "prefill/softmax/f32/causal_halves/b1_hq32_hkv8_sq512_skv8192_d128/t1", rivals::policy);
    b.section("the same through compute_op, which looks at the table in each run");
    for (const std::string mask : {"causal_floats", "causal_halves", "window512_halves"})
        b.row("2048 x 2048, 8 heads of 128, " + mask, "op|" + mask, "prefill/softmax/f32/" + mask + square,
              rivals::compute_op);
    b.section("decode of MLA: one kv head of 576 / 512, V a part of K, 32768 keys");
    for (const std::string type : {"f32", "bf16"})
        for (const std::string heads : {"16", "128"})
            b.row(heads + "/1 heads, " + type, "MLA " + heads + "/1|" + type,
                  "decode/softmax/" + type + "_mla/all/b1_hq" + heads + "_hkv1_sq1_skv32768_d576x512/t1");
}

/// A token of a whole model: its layers' K and V lie in memory, not in a cache.
void add_models(builder& b)
{
    b.section("attention of a token, all layers of a model, K and V bf16");
    const struct {
        std::string says, layers, dim;
    } models[] = {{"16 layers of 32/8 heads of 64", "16", "64"}, {"32 layers of 32/8 heads of 128", "32", "128"}};
    for (const auto& m : models)
        for (const std::string keys : {"1024", "8192"})
            b.row(m.says + ", " + keys + " keys", m.layers + " layers|" + keys,
                  "decode/softmax/bf16_layers" + m.layers + "/all/b1_hq32_hkv8_sq1_skv" + keys + "_d" + m.dim + "/t1",
                  heed_alone);
}

/// The rows of one thread above, on `n`.
void add_threads(builder& b, int n)
{
    const std::string t = "/t" + std::to_string(n);
    b.section(std::to_string(n) + " threads");
    b.row("prefill, 2048 x 2048, 8 heads of 128, f32", "prefill",
          "prefill/softmax/f32/all/b1_hq8_hkv8_sq2048_skv2048_d128" + t);
    b.row("  causal", "causal", "prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128" + t);
    for (const std::string type : {"f32", "bf16"})
        b.row("decode, 32768 keys, 32/8 heads of 128, " + type, "decode|" + type,
              "decode/softmax/" + type + "/all/b1_hq32_hkv8_sq1_skv32768_d128" + t);
    b.row("decode, 63 sequences of 256 keys and one of 16384, f32", "mixed",
          "decode/softmax/f32_page16_mixed256/all/b64_hq8_hkv8_sq1_skv16384_d128" + t, heed_alone);
    b.row("decode, 256 sequences of 128 to 1024 keys, f32", "random lengths",
          "decode/softmax/f32_page16_random128/all/b256_hq32_hkv8_sq1_skv1024_d128" + t, heed_alone);
    b.row("decode, 131072 keys, 1 head of 128, f32", "1 head",
          "decode/softmax/f32/all/b1_hq1_hkv1_sq1_skv131072_d128" + t);
    b.section(std::to_string(n) + " threads, one kv head, f16, beside compute_op");
    b.row("decode, 32768 keys, 32/1 heads of 128", "op|32/1",
          "decode/softmax/f16/all/b1_hq32_hkv1_sq1_skv32768_d128" + t, rivals::compute_op);
    b.row("decode, 32768 keys, 16/1 heads of 576 / 512", "op|MLA",
          "decode/softmax/f16_mla/all/b1_hq16_hkv1_sq1_skv32768_d576x512" + t, rivals::compute_op);
}

}  // namespace

rivals rivals_like(const std::string& impl)
{
    return impl == "fused"        ? rivals::fused
           : impl == "observe"    ? rivals::observe
           : impl == "dense"      ? rivals::dense
           : impl == "policy"     ? rivals::policy
           : impl == "compute_op" ? rivals::compute_op
                                  : rivals::peers;
}

std::string rival_column(rivals against)
{
    switch (against) {
    case rivals::fused: return "faster than fused by hand";
    case rivals::observe: return "with observe";
    case rivals::dense: return "faster than in one piece";
    case rivals::policy: return "faster than as a policy";
    case rivals::compute_op: return "faster than through compute_op";
    default: return "faster than the best peer";
    }
}

std::string name_of_rival(const std::string& impl)
{
    return impl == "observe" ? "attend" : impl == "dense" ? "in order" : impl == "policy" ? "policy" : impl;
}

bool is_about_percents(rivals against)
{
    return against == rivals::fused || against == rivals::observe || against == rivals::dense;
}

std::vector<suite_row> standard_suite(int threads)
{
    builder b;
    add_prefill(b);
    add_head_sizes(b);
    add_types_and_normalizers(b);
    add_thresholds_and_orders(b);
    add_contract(b);
    add_backward(b);
    add_observing(b);
    add_native(b);
    add_decode(b);
    add_caches(b);
    add_engines(b);
    add_models(b);
    for (int n = 2; n <= threads && n <= 512; n *= 2) add_threads(b, n);
    return b.rows();
}

std::vector<suite_row> thread_sweep(int threads)
{
    threads = std::min(threads, 999);  // as many as a name says
    std::vector<int> counts;
    for (int n = 1; n < threads; n *= 2) {
        counts.push_back(n);
        if (n > 1 && n + n / 2 < threads) counts.push_back(n + n / 2);
    }
    counts.push_back(threads);
    builder b;
    const struct {
        const char *section, *problem;
    } problems[] = {
        {"prefill, 2048 x 2048, 8 heads of 128, f32", "prefill/softmax/f32/all/b1_hq8_hkv8_sq2048_skv2048_d128/t"},
        {"prefill, 2048 x 2048, 8 heads of 128, f32, causal",
         "prefill/softmax/f32/causal/b1_hq8_hkv8_sq2048_skv2048_d128/t"},
        {"decode, 32768 keys, 32/8 heads of 128, bf16", "decode/softmax/bf16/all/b1_hq32_hkv8_sq1_skv32768_d128/t"},
        {"decode, 131072 keys, 1 head of 128, f32", "decode/softmax/f32/all/b1_hq1_hkv1_sq1_skv131072_d128/t"}};
    for (const auto& p : problems) {
        b.section(p.section);
        for (const int n : counts)
            b.row(std::to_string(n) + (n == 1 ? " thread" : " threads"), std::to_string(n),
                  p.problem + std::to_string(n));
    }
    return b.rows();
}

bool takes_part(const implementation& who, const suite_row& row)
{
    constexpr double most_flops = 50e9;
    bench_case c = row.problem;
    c.impl = who.name;
    const bool asked =
        who.name == "heed" || (row.against == rivals_like(who.name) && (row.against != rivals::peers || who.is_peer()));
    if (!asked || (who.computes_masked && c.unmasked_flops() > most_flops)) return false;
    return refusal(who, c).empty();
}

}  // namespace bench
