// SPDX-License-Identifier: MIT
// Coming from PyTorch, FlashAttention, FlashInfer, ggml or ONNX: what theirs is called here, and where a convention
// differs.
//
// clang-format off
//     sizes          PyTorch   [B, H, S, D]                        bhsd(pointer, {B, H, S, D})
//                    Flash     [B, S, H, D]                        bshd(pointer, {B, H, S, D}): sizes in the same order
//                    ggml      ne = {D, S, H, B}, nb in bytes      strided_bytes(p, {B, H, S, D}, {nb3, nb2, nb1})
//     scale          all       1 / sqrt(D)                         the same; scale{x} in the definition
//     grouped heads  PyTorch   enable_gqa                          nothing: Hq / Hkv query heads share a kv head
//
//     causal         PyTorch   is_causal: row i sees keys <= i     causal::top_left()
//                    Flash     causal: the last row sees all       causal{}
//                    ONNX      is_causal, with a cache as Flash    causal{}
//     window         Flash     window_size = (left, right)         window{.left = left, .right = right}; for -1 nothing
//                    HF        sliding_window = w                  window{.left = w - 1}; for 0 or none nothing
//     mask           PyTorch   bool, True = attend                 dense_mask{view}, or attention_mask{view, summary}
//                    PyTorch   float, added                        bias{view}, or attention_mask{view, summary}
//                    ggml      f16 [S_kv, S_q], added, -inf masks  attention_mask{view, summary}
//                    ONNX      attn_mask bool or float             as PyTorch
//     row of -inf    PyTorch   NaN                                 0
//     softcap        Flash     softcap, ggml logit_softcap         softcap{x}; for 0 nothing
//     ALiBi          Flash     alibi_slopes > 0                    alibi{slopes}, the same sign
//                    ggml      max_bias, the mask holds -distance  alibi{slopes}, which ggml derives from max_bias
//     sinks          ggml      sinks, gpt-oss                      softmax_sink{logits}
//
//     batches of     Flash     cu_seqlens_q, cu_seqlens_k          packed{q, bounds_q}, packed_kv{k, v, bounds_k}
//     any lengths    Flash     seqused_k, leftpad_k                packed_kv{..., lengths}, left_padded_kv{..., starts}
//     cache          Flash     k_cache, cache_seqlens              dense_kv{k, v, lengths}
//     pages          Flash     block_table, of vLLM block_tables   page_table::padded(pages, width, lengths)
//                    FlashInf. kv_indptr, _indices, last_page_len  page_table::csr(indptr, pages, last_page_len)
//                    FlashInf. NHD, HND                            bshd, bhsd of a pool {pages, heads, slots, dim}
//     new tokens     Flash     k=, v= of flash_attn_with_kvcache   append(cache, ...), then attend
//                    ONNX      present_key, present_value          append: nothing is copied
//
//     log-sum-exp    Flash     softmax_lse, natural                options::stats.lse, natural
//                    FlashInf. lse of base 2                       lse / ln 2
//     partial result FlashInf. (v, s) of merge_state               state {M, l, o}, merge, finish: not divided yet
//                    any       (out, lse) of a part from elsewhere M = ceil(lse / ln 2), l = exp(lse - M ln 2), o = l out
//     plan           FlashInf. plan() and run()                    plan(def, q, kv, how) and run()
//     dropout        PyTorch   dropout_p                           none
//     gradients      Flash     saved out, softmax_lse              saved out, {M, l}
// clang-format on
#include "numbers.hpp"

#include <heed/heed.hpp>

#include <cmath>
#include <limits>

namespace {

constexpr std::int64_t heads = 2, queries = 3, keys = 5, dim = 4;
constexpr heed::extents q_size{1, heads, queries, dim}, kv_size{1, heads, keys, dim};
const std::vector<float> q = numbers(heads * queries * dim, 1), k = numbers(heads * keys * dim, 2),
                         v = numbers(heads * keys * dim, 3);

template <class... Policies>
std::vector<float> attended(const Policies&... policies)
{
    std::vector<float> out(q.size());
    heed::or_throw(heed::attend(heed::attention{heed::softmax{}, policies...}, heed::bhsd(q, q_size),
                                heed::bhsd(k, kv_size), heed::bhsd(v, kv_size), heed::bhsd(out, q_size)));
    return out;
}

/// softmax(q k^T / sqrt(dim) + table) v in plain loops, the formula that all of them document.
template <class Table>
bool is_formula(const std::vector<float>& out, Table table)
{
    double worst = 0;
    for (std::int64_t h = 0; h < heads; ++h)
        for (std::int64_t i = 0; i < queries; ++i) {
            double w[keys], sum = 0;
            for (std::int64_t j = 0; j < keys; ++j) {
                double s = 0;
                for (std::int64_t c = 0; c < dim; ++c)
                    s += double{q[static_cast<std::size_t>((h * queries + i) * dim + c)]} *
                         double{k[static_cast<std::size_t>((h * keys + j) * dim + c)]};
                sum += w[j] = std::exp(s / std::sqrt(double{dim}) + table(h, i, j));
            }
            for (std::int64_t c = 0; c < dim; ++c) {
                double o = 0;
                for (std::int64_t j = 0; j < keys; ++j)
                    o += w[j] / sum * double{v[static_cast<std::size_t>((h * keys + j) * dim + c)]};
                worst =
                    std::fmax(worst, std::fabs(o - double{out[static_cast<std::size_t>((h * queries + i) * dim + c)]}));
            }
        }
    return worst < 1e-6;
}

}  // namespace

int main()
{
    using int64 = std::int64_t;
    const double none = -std::numeric_limits<double>::infinity();

    // PyTorch: tril(ones(S_q, S_k)); FlashAttention: the diagonal ends in the last corner.
    bool good = holds(
        "causal::top_left() is PyTorch's is_causal",
        is_formula(attended(heed::causal::top_left()), [&](int64, int64 i, int64 j) { return j <= i ? 0 : none; }));
    good &= holds("causal{} is FlashAttention's causal",
                  is_formula(attended(heed::causal{}),
                             [&](int64, int64 i, int64 j) { return j <= i + keys - queries ? 0 : none; }));
    good &= holds("window{1, 0} is window_size = (1, 0)",
                  is_formula(attended(heed::window{.left = 1, .right = 0}), [&](int64, int64 i, int64 j) {
                      const int64 at = i + keys - queries;
                      return at - 1 <= j && j <= at ? 0 : none;
                  }));

    const std::vector<float> slopes = {0.5f, 0.25f};
    good &=
        holds("alibi{slopes} is alibi_slopes",
              is_formula(attended(heed::alibi{slopes}, heed::causal{}), [&](int64 h, int64 i, int64 j) {
                  const int64 at = i + keys - queries;
                  return j <= at ? -double{slopes[static_cast<std::size_t>(h)]} * static_cast<double>(at - j) : none;
              }));

    // A bool table, as PyTorch's attn_mask, repeated for all heads; the same as numbers, as ggml's mask of f16.
    const bool bits[] = {true,  false, true,      true, false, /**/ false, true, true,
                         false, true,  /**/ true, true, false, false,      true};
    std::vector<heed::f16> numbers_of;
    for (const bool b : bits) numbers_of.push_back(heed::f16(b ? 0.f : -std::numeric_limits<float>::infinity()));
    const heed::extents table{1, 1, queries, keys};
    const auto by_bits = attended(heed::dense_mask{heed::bhsd(bits, table)});
    good &= holds("dense_mask{...} is attn_mask of bool",
                  is_formula(by_bits, [&](int64, int64 i, int64 j) { return bits[i * keys + j] ? 0 : none; }));

    // Engines hand over such a table for every layer: look at it once, and it costs what the mask costs that it spells.
    const auto of_f16 = heed::bhsd(numbers_of, table);
    std::vector<std::byte> memory(static_cast<std::size_t>(heed::mask_summary::bytes_for(of_f16)));
    heed::mask_summary summary;
    heed::or_throw(heed::summarise(of_f16, {memory.data(), memory.size()}, summary));
    good &= holds("attention_mask{...} of f16 and -inf is ggml's, with the same bits",
                  same_bits(by_bits, attended(heed::attention_mask{of_f16, summary})));

    // A part of the keys from elsewhere, as (out, lse): a state whose M is a whole number.
    const heed::extents first_keys{1, heads, 2, dim}, last_keys{1, heads, keys - 2, dim};
    const auto part = [&](const std::vector<float>& x, int64 from, const heed::extents& size) {
        return heed::strided(x.data() + from * dim, size, {0, keys * dim, dim});
    };
    std::vector<float> of_part(q.size()), lse(heads * queries), shift(lse.size()), mass(lse.size()), sums(q.size()),
        joined(q.size());
    heed::or_throw(heed::attend(heed::softmax{}, heed::bhsd(q, q_size), part(k, 0, first_keys), part(v, 0, first_keys),
                                heed::bhsd(of_part, q_size), {.stats = {.lse = lse}}));
    for (std::size_t row = 0; row < lse.size(); ++row) {
        shift[row] = std::ceil(lse[row] / 0.693147181f);
        mass[row] = std::exp(lse[row] - shift[row] * 0.693147181f);
        for (std::size_t c = row * dim; c < (row + 1) * dim; ++c) sums[c] = mass[row] * of_part[c];
    }
    const heed::state<float> state{shift.data(), mass.data(), sums.data(), q_size};
    heed::or_throw(heed::attend_partial(heed::softmax{}, heed::bhsd(q, q_size), part(k, 2, last_keys),
                                        part(v, 2, last_keys), state, {2}));
    heed::or_throw(heed::finish(heed::softmax{}, state, heed::bhsd(joined, q_size)));
    good &=
        holds("(out, lse) of some keys goes on as a state", is_formula(joined, [](int64, int64, int64) { return 0.; }));

    // A row that may see nothing: PyTorch gives NaN, heed 0.
    const bool nothing[queries * keys] = {};
    good &= holds("a row of -inf is 0",
                  attended(heed::dense_mask{heed::bhsd(nothing, table)}) == std::vector<float>(q.size()));
    return good ? 0 : 1;
}
