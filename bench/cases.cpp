// SPDX-License-Identifier: MIT
#include "cases.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <regex>

namespace bench {
namespace {

constexpr const char* form =
    "(heed|eigen|openblas|onednn|fused|observe|dense|policy|compute_op)/(prefill|decode|"
    "backward)/NORMALIZER/KV/MASK/bB_hqH_hkvH_sqS_skvS_dD/tT, H and B of up to 6 digits, S of 9";

std::string read_kv(const std::string& text, bench_case& c)
{
    static const std::regex kv(
        "(f32|bf16|bf16_native|f16|(?:int8|q8_0|q4_0)(?:_by(?:8|16))?|fp8(?:_e5m2)?)(_sparse([0-9]{2}))?"
        "(_page([0-9]{1,4})(?:_(mixed|random)([0-9]{1,9}))?)?(_bshd)?(_mla)?(_layers([0-9]{1,4}))?");
    std::smatch m;
    if (!std::regex_match(text, m, kv))
        return "kv type " + text +
               " is none of f32, bf16, bf16_native, f16, int8, q8_0, q4_0 (these by integers: _by16, _by8), fp8, "
               "fp8_e5m2, with or without _sparseNN (percent, two digits), _pageN (slots) and, behind it, _mixedN (keys "
               "of all sequences but the last) or _randomN (the least keys of sequences of random lengths), _bshd "
               "([token][head][channel]), _mla (V is a part of K), _layersN";
    c.native = m[1] == "bf16_native";
    c.element = c.native ? "bf16" : m[1].str();
    if (const std::size_t by = c.element.find("_by"); by != std::string::npos) {
        c.integer_bits = std::stoi(c.element.substr(by + 3));
        c.element.resize(by);
    }
    if (m[3].matched) c.weightless = std::stoi(m[3]);
    if (m[5].matched) c.page = std::stoll(m[5]);
    if (m[7].matched) (m[6] == "mixed" ? c.short_keys : c.least_keys) = std::stoll(m[7]);
    if ((m[5].matched && (c.page < 1 || c.page > 4096)) || (m[7].matched && !c.ragged()))
        return "kv type " + text + ": pages have 1 to 4096 slots, and sequences a key";
    if (m[8].matched) c.layout = kv_layout::bshd;
    c.mla = m[9].matched;
    if (m[11].matched) c.layers = std::stoll(m[11]);
    if (c.layers < 1) return "kv type " + text + ": a size is 0";
    if (c.page > 0 && c.layout == kv_layout::bshd) return "kv type " + text + ": pages are [page, head, slot, channel]";
    if (c.over_cache() && (c.mla || c.layers > 1))
        return "kv type " + text + ": _mla and _layersN are measured over tensors of f32, bf16 and f16";
    if (c.mla && c.value_dim > c.key_dim)
        return "kv type " + text + ": V is a part of K, and d" + std::to_string(c.key_dim) + "x" +
               std::to_string(c.value_dim) + " makes it wider";
    return "";
}

std::string read_mask(const std::string& text, bench_case& c)
{
    static const std::regex mask("(all|causal|(window|documents)([0-9]{1,9}))(_(floats|halves|bools|tilted))?");
    std::smatch m;
    if (!std::regex_match(text, m, mask))
        return "mask " + text +
               " is none of all, causal, windowN, documentsN, with or without _floats, _halves, _bools, _tilted";
    const mask_form forms[] = {mask_form::floats, mask_form::halves, mask_form::bools, mask_form::tilted};
    const std::string names[] = {"floats", "halves", "bools", "tilted"};
    if (m[5].matched) c.form = forms[std::find(names, names + 4, m[5].str()) - names];
    if (!m[2].matched) {
        c.mask = m[1] == "all" ? mask_kind::all : mask_kind::causal;
        return "";
    }
    c.mask = m[2] == "window" ? mask_kind::window : mask_kind::documents;
    c.mask_size = std::stoll(m[3]);
    if (c.mask_size == 0) return "mask " + text + ": a size is 0";
    if (c.mask == mask_kind::window) return "";
    if (c.queries != c.keys)
        return "mask " + text + " needs as many queries as keys, not sq" + std::to_string(c.queries) + " and skv" +
               std::to_string(c.keys);
    if (c.mask_size > c.keys)
        return "mask " + text + " makes more documents than the " + std::to_string(c.keys) + " keys";
    return "";
}

}  // namespace

span bench_case::attended(std::int64_t query) const
{
    if (mask == mask_kind::all) return {0, keys};
    const std::int64_t end = std::clamp<std::int64_t>(query + keys - queries + 1, 0, keys);
    if (mask == mask_kind::window) return {std::max<std::int64_t>(end - mask_size, 0), end};
    if (mask == mask_kind::documents) return {document_begin((end * mask_size - 1) / keys), end};
    return {0, end};
}

std::uint64_t hashed(std::uint64_t x)
{
    x ^= x >> 31;
    x *= 0x9e3779b97f4a7c15u;
    return x ^ (x >> 29);
}

std::int64_t bench_case::keys_of(std::int64_t sequence) const
{
    if (least_keys > 0) {
        const auto lengths = static_cast<std::uint64_t>(keys - least_keys + 1);
        return least_keys + static_cast<std::int64_t>(hashed(static_cast<std::uint64_t>(sequence) + 1) % lengths);
    }
    return short_keys > 0 && sequence + 1 < batch ? short_keys : keys;
}

std::int64_t bench_case::total_keys() const
{
    std::int64_t total = 0;
    for (std::int64_t b = 0; b < batch; ++b) total += keys_of(b);
    return total;
}

double bench_case::flops_a_pair() const
{
    // S, dQ and dK take products over Dqk, dP and dV over Dv.
    const std::int64_t products = phase == "backward" ? 3 * key_dim + 2 * value_dim : key_dim + value_dim;
    return 2.0 * static_cast<double>(layers) * static_cast<double>(batch * query_heads * products);
}

double bench_case::flops() const
{
    double pairs = 0;
    for (std::int64_t i = 0; i < queries; ++i) pairs += static_cast<double>(attended(i).end - attended(i).begin);
    if (ragged()) pairs = static_cast<double>(queries * total_keys()) / static_cast<double>(batch);
    return flops_a_pair() * pairs;
}

double bench_case::unmasked_flops() const
{
    return flops_a_pair() * static_cast<double>(queries) * static_cast<double>(keys);
}

double bench_case::row_bytes(std::int64_t dim) const
{
    const auto d = static_cast<double>(dim);
    if (element == "f32") return 4 * d;
    if (element == "int8") return d + 4;
    if (element == "fp8" || element == "fp8_e5m2") return d;
    if (element == "q8_0") return d / 32 * 34;
    if (element == "q4_0") return d / 32 * 18;
    return 2 * d;
}

/// Of K and V.
double bench_case::bytes_a_key() const { return row_bytes(key_dim) + (mla ? 0 : row_bytes(value_dim)); }

double bench_case::kv_bytes() const
{
    // Spans never move back from one row to the next.
    const std::int64_t read = ragged() ? total_keys() : batch * (attended(queries - 1).end - attended(0).begin);
    return static_cast<double>(layers * kv_heads * read) * bytes_a_key();
}

double bench_case::tensor_bytes() const
{
    const double element_bytes = over_cache() || element == "f32" ? 4 : 2;
    return kv_bytes() + element_bytes * static_cast<double>(batch * query_heads * queries * (key_dim + value_dim));
}

std::int64_t bench_case::layers_held() const
{
    constexpr double beyond_every_cache = 768 << 20;
    const double one = bytes_a_key() * static_cast<double>(kv_heads) * static_cast<double>(total_keys());
    return std::min(layers, static_cast<std::int64_t>(beyond_every_cache / one) + 1);
}

double bench_case::memory_bytes() const
{
    const auto product = [](auto... sizes) { return (1.0 * ... * static_cast<double>(sizes)); };
    const double element_bytes = over_cache() || element == "f32" ? 4 : 2;  // of what a cache is filled from, too
    const double elements = product(layers_held(), batch, kv_heads, keys, key_dim + value_dim) +
                            product(batch, query_heads, queries, key_dim + 2 * value_dim);
    return element_bytes * elements + product(batch, query_heads, queries) * 16 +
           (form == mask_form::policy ? 0 : product(queries, keys) * 4);
}

std::string parse(const std::string& name, bench_case& c)
{
    static const std::regex shape("(heed|eigen|openblas|onednn|fused|observe|dense|policy|compute_op)/"
                                  "(prefill|decode|backward)/([a-z_0-9]+)/([a-z0-9_]+)/([a-z0-9_]+)/"
                                  "b(\\d{1,6})_hq(\\d{1,6})_hkv(\\d{1,6})_sq(\\d{1,9})_skv(\\d{1,9})_"
                                  "d(\\d{1,6})(x(\\d{1,6}))?/t(\\d{1,3})");
    std::smatch m;
    if (!std::regex_match(name, m, shape)) return std::string("does not read ") + form;
    const auto number = [&](std::size_t i) { return std::int64_t{std::stoll(m[i])}; };
    c = {};
    c.name = name;
    c.impl = m[1];
    c.phase = m[2];
    c.normalizer = m[3];
    c.batch = number(6);
    c.query_heads = number(7);
    c.kv_heads = number(8);
    c.queries = number(9);
    c.keys = number(10);
    c.key_dim = number(11);
    c.value_dim = m[13].matched ? number(13) : c.key_dim;
    c.threads = std::stoi(m[14]);
    const std::string known[] = {"softmax", "softmax1", "softmax_sink", "softpick", "sigmoid", "relu1", "relu2"};
    static const std::regex with_support("(entmax15|sparsemax|top_k|elastic)_[1-9][0-9]?");
    static const std::regex in_order("stick_breaking_[0-9]");
    const bool has_number = std::regex_match(c.normalizer, with_support) || std::regex_match(c.normalizer, in_order);
    if (has_number && m[4] != "f32") return "normalizers with a threshold or an order are measured in f32";
    if (!has_number && std::find(std::begin(known), std::end(known), c.normalizer) == std::end(known))
        return "normalizer " + c.normalizer +
               " is none of softmax, softmax1, softmax_sink, softpick, sigmoid, relu1, relu2, and entmax15, sparsemax, "
               "top_k, elastic with _ and the per cent of keys that have a weight, and stick_breaking with _ and the "
               "number that scores are lowered by";
    if (c.batch < 1 || c.query_heads < 1 || c.kv_heads < 1 || c.queries < 1 || c.keys < 1 || c.key_dim < 1 ||
        c.value_dim < 1 || c.threads < 1)
        return "a size is 0";
    if (c.query_heads % c.kv_heads) return "hq" + m[7].str() + " is not a multiple of hkv" + m[8].str();
    // Below this every product of sizes that this program takes fits 64 bits.
    if (const double bytes = c.memory_bytes(); bytes > 1e15) {
        char text[96];
        std::snprintf(text, sizeof(text), "its tensors take %.3g bytes, more than is counted with", bytes);
        return text;
    }
    std::string wrong = read_kv(m[4], c);
    if (wrong.empty()) wrong = read_mask(m[5], c);
    if (wrong.empty() && c.ragged() && (c.mask != mask_kind::all || c.short_keys > c.keys || c.least_keys > c.keys))
        wrong =
            (c.short_keys > 0 ? "_mixed" + std::to_string(c.short_keys) : "_random" + std::to_string(c.least_keys)) +
            " needs mask all and as many keys in the longest sequence";
    return wrong;
}

bench_case parsed(const std::string& name)
{
    bench_case c;
    const std::string wrong = parse(name, c);
    if (wrong.empty()) return c;
    std::fprintf(stderr, "heed-bench: its own case %s: %s\n", name.c_str(), wrong.c_str());
    std::abort();
}

std::string name_for(const std::string& impl, const bench_case& c) { return impl + c.name.substr(c.name.find('/')); }

}  // namespace bench
