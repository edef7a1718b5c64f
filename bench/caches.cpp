// SPDX-License-Identifier: MIT
// Cases over caches as engines hold them: quantised, in pages, of sequences of different lengths. Queries and outputs
// are float; what the cache holds is written by append() from the same numbers that other cases attend to.
#include "case_mask.hpp"
#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>

#include <algorithm>
#include <numeric>
#include <random>

namespace bench {
namespace {

/// Of sequences of different lengths K and V lie behind each other, as if they were one.
bench_case behind_each_other(const bench_case& c)
{
    bench_case one = c;
    one.layout = kv_layout::bhsd;  // of what the cache is filled from
    if (!c.ragged()) return one;
    one.batch = 1;
    one.queries = c.batch * c.queries;
    one.keys = c.total_keys();
    one.short_keys = one.least_keys = 0;
    return one;
}

template <class T>
struct storage {
    std::vector<T> k, v;
    std::vector<float> k_scale, v_scale;  // int8: one for each token and head
    std::vector<std::int32_t> pages, indptr, last_page_len;
};

/// Calls f(cache) with the source that the case asks for over `to`, as large as it has to be.
template <class T, class F>
void with_cache(const bench_case& c, storage<T>& to, F f)
{
    const std::int64_t slots = c.page, all = c.page > 0 ? static_cast<std::int64_t>(to.pages.size()) : c.batch,
                       tokens = c.page > 0 ? slots : c.keys;
    const heed::extents k_size{all, c.kv_heads, tokens, c.key_dim}, v_size{all, c.kv_heads, tokens, c.value_dim},
        scale_size{all, c.kv_heads, tokens, 1};
    const auto size = [](const heed::extents& e, std::int64_t dim) {
        return static_cast<std::size_t>(e.batch * e.heads * e.tokens * heed::elements_for<T>(dim));
    };
    to.k.resize(size(k_size, c.key_dim));
    to.v.resize(size(v_size, c.value_dim));
    const auto laid_out = [&](auto* data, const heed::extents& of) {
        return c.layout == kv_layout::bshd ? heed::bshd(data, of) : heed::bhsd(data, of);
    };
    const auto k = laid_out(to.k.data(), k_size), v = laid_out(to.v.data(), v_size);
    const auto scaled = [&](const auto& source) {
        if constexpr (std::is_same_v<T, std::int8_t>) {
            to.k_scale.resize(static_cast<std::size_t>(all * c.kv_heads * tokens));
            to.v_scale.resize(to.k_scale.size());
            f(heed::scaled_kv{source, heed::per_token{laid_out(to.k_scale.data(), scale_size)},
                              heed::per_token{laid_out(to.v_scale.data(), scale_size)}});
        } else {
            f(source);
        }
    };
    if (c.page == 0) return scaled(heed::dense_kv{k, v});
    const auto numbers = [](const std::vector<std::int32_t>& n) {
        return heed::index_view(n.data(), static_cast<std::int64_t>(n.size()));
    };
    scaled(
        heed::paged_kv{k, v, heed::page_table::csr(numbers(to.indptr), numbers(to.pages), numbers(to.last_page_len))});
}

/// Pages of all sequences, in no order.
template <class T>
void deal_pages(const bench_case& c, storage<T>& to)
{
    to.indptr.push_back(0);
    for (std::int64_t b = 0; b < c.batch; ++b) {
        const std::int64_t keys = c.keys_of(b), pages = (keys + c.page - 1) / c.page;
        to.indptr.push_back(to.indptr.back() + static_cast<std::int32_t>(pages));
        to.last_page_len.push_back(static_cast<std::int32_t>(keys - (pages - 1) * c.page));
    }
    to.pages.resize(static_cast<std::size_t>(to.indptr.back()));
    std::iota(to.pages.begin(), to.pages.end(), 0);
    std::shuffle(to.pages.begin(), to.pages.end(), std::mt19937_64(5));
}

/// f(what is computed), with products of integers where the case asks for them and its element has whole numbers.
template <class T, class F>
void with_definition(const bench_case& c, F f)
{
    const auto mask = case_mask(c);
    if constexpr (heed::element_traits<T>::holds_integers) {
        if (c.integer_bits == 16) return f(heed::attention{heed::softmax{}, mask, heed::compute<std::int8_t>{}});
        if (c.integer_bits == 8) return f(heed::attention{heed::softmax{}, mask, heed::compute<std::int8_t, 8>{}});
    }
    f(heed::attention{heed::softmax{}, mask});
}

template <class T>
contestant make(const bench_case& c)
{
    struct held {
        std::shared_ptr<const inputs<float>> in;
        storage<T> cache;
        std::vector<float> out;
        heed::thread_pool pool;
        std::vector<std::byte> scratch;
        explicit held(const bench_case& of) : in(inputs_of<float>(behind_each_other(of))), pool(of.threads) {}
    };
    const auto h = std::make_shared<held>(c);
    const heed::extents rows{c.batch, c.query_heads, c.queries, c.key_dim},
        out_rows{c.batch, c.query_heads, c.queries, c.value_dim};
    h->out.resize(static_cast<std::size_t>(c.batch * c.query_heads * c.queries * c.value_dim));
    const auto q = heed::bhsd<const float>(h->in->q.get(), rows);
    const auto out = heed::bhsd(h->out.data(), out_rows);
    if (c.page > 0) deal_pages(c, h->cache);

    contestant who;
    with_cache(c, h->cache, [&](const auto& cache) {
        std::int64_t first = 0;  // of sequences of different lengths
        for (std::int64_t b = 0; b < c.batch; ++b) {
            const std::int64_t n = c.keys_of(b), head_rows = c.ragged() ? c.total_keys() : c.keys,
                               start = c.ragged() ? first : b * c.kv_heads * c.keys;
            heed::or_throw(heed::append(
                cache, b, 0,
                heed::strided<const float>(h->in->k() + start * c.key_dim, {1, c.kv_heads, n, c.key_dim},
                                           {0, head_rows * c.key_dim, c.key_dim}),
                heed::strided<const float>(h->in->v() + start * c.value_dim, {1, c.kv_heads, n, c.value_dim},
                                           {0, head_rows * c.value_dim, c.value_dim})));
            first += n;
        }
        heed::options<float> how;
        if (c.threads > 1) how.executor = h->pool;
        with_definition<T>(c, [&](const auto& def) {
            const heed::plan plan(def, q, cache, how);
            heed::or_throw(plan.status());
            h->scratch.resize(plan.workspace_bytes());
            how.workspace = {h->scratch.data(), h->scratch.size()};
            who = {[=] {
                       heed::or_throw(plan.run(q, cache, out, how));
                       (void)h;
                   },
                   [=] { return h->out; }, plan.describe().text};
        });
    });
    return who;
}

}  // namespace

std::string cache_refusal(const bench_case& c)
{
    if (c.phase == "backward") return "backward has no caches";
    if (c.normalizer != "softmax") return "caches are measured for softmax";
    if (c.form != mask_form::policy) return "caches are measured with masks as policies";
    if (c.weightless >= 0 || c.native) return "caches are measured without planted scores and in f32";
    if (c.element == "f16") return "caches are measured in f32, bf16, int8, q8_0, q4_0, fp8 and fp8_e5m2";
    if ((c.element == "q8_0" || c.element == "q4_0") && (c.key_dim % 32 != 0 || c.value_dim % 32 != 0))
        return c.element + " has blocks of 32 channels";
    return "";
}

contestant make_over_cache(const bench_case& c)
{
    if (c.element == "bf16") return make<heed::bf16>(c);
    if (c.element == "int8") return make<std::int8_t>(c);
    if (c.element == "q8_0") return make<heed::q8_0>(c);
    if (c.element == "q4_0") return make<heed::q4_0>(c);
    if (c.element == "fp8") return make<heed::fp8_e4m3>(c);
    if (c.element == "fp8_e5m2") return make<heed::fp8_e5m2>(c);
    return make<float>(c);
}

std::string dense_refusal(const bench_case& c)
{
    if (c.page == 0 && c.layout == kv_layout::bhsd) return "dense stands beside cases in pages or as [token][head]";
    if (c.layers > 1) return "dense is measured in one layer";
    return c.ragged() ? "dense has no mixed lengths" : c.over_cache() ? cache_refusal(c) : heed_refusal(c);
}

contestant make_dense(const bench_case& c)
{
    bench_case dense = c;
    dense.page = 0;
    dense.layout = kv_layout::bhsd;
    return c.over_cache() ? make_over_cache(dense) : make_heed(dense);
}

}  // namespace bench
