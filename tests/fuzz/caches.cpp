// SPDX-License-Identifier: MIT
// attend over caches, with packed queries or not.
#include "caches.hpp"

namespace fuzz {
namespace {

template <class K, class V, scaling ByK, scaling ByV, own Own, bool Picks>
void cache_case(input& in)
{
    all_memory().clear();
    const bool hostile = in.one_in(4), is_packed = in.one_in(2), repeated = in.one_in(4);
    const int64 sequences = in.range(0, 8) % 5, kv_heads = in.range(1, 2), group = in.range(1, 4);
    const token_map at = token_map::drawn(in, sequences, hostile && in.one_in(2), Own == own::none);
    const int64 dim = cache_dim<K>(in), value_dim = cache_dim<V>(in);
    const auto k = cache_side<K>::drawn(in, at, kv_heads, dim, ByK, hostile && in.one_in(4), repeated);
    const auto v = cache_side<V>::drawn(in, at, kv_heads, value_dim, ByV, hostile && in.one_in(4), repeated);
    const int64 batch = at.sequences_told();
    if (at.is_endless()) return;

    constexpr int64 some[] = {0, 1, 1, 2, 5, 17, 40};
    std::vector<int64> queries, bounds{0};
    const int64 alike = in.one_of(some);
    for (int64 b = 0; b < batch; ++b) {
        queries.push_back(is_packed ? in.one_of(some) : alike);
        bounds.push_back(bounds.back() + queries.back());
    }
    const int64 total = bounds.back();
    int64 longest = is_packed ? 0 : alike;
    for (const int64 n : queries) longest = std::max(longest, n);
    const std::vector<int64> whole = bounds;
    if (is_packed && hostile && in.one_in(3)) {
        if (in.one_in(3)) bounds.resize(in.random() % (bounds.size() + 1) + 1, 0);  // none at all: not packed
        bounds[in.random() % bounds.size()] = in.one_in(2) ? in.range(-1, 9) : in.hostile();
    }
    const numbers_table limits(in, bounds);
    bounds = limits.values;  // of 32 bits they may be others
    bool valid = static_cast<int64>(bounds.size()) == batch + 1 && bounds[0] == 0 && bounds.back() == total;
    for (std::size_t i = 1; valid && i < bounds.size(); ++i) valid = bounds[i] >= bounds[i - 1];
    if (valid && bounds != whole) return;  // others that rise from 0 to all rows are as good
    const heed::extents q_size{is_packed ? 1 : batch, kv_heads * group, is_packed ? total : alike, dim};
    heed::extents out_size = q_size;
    out_size.dim = value_dim;
    auto q = placed<float>::drawn(in, q_size, false, hostile && in.one_in(6));
    auto out = placed<float>::drawn(in, out_size, true, hostile && in.one_in(6));
    const bool has_memory = k.has_memory() && v.has_memory() && q.has_memory && out.has_memory;
    if (q.has_memory) fill(in, q.v, family::drawn(in), in.one_in(4));

    const auto same = [](const heed::extents& a, const heed::extents& b) {
        return a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens && a.dim == b.dim;
    };
    valid = valid && has_memory && at.valid && k.is_sound(at, kv_heads, dim) && v.is_sound(at, kv_heads, value_dim) &&
            same(q.v.size, q_size) && same(out.v.size, out_size);
    problem p{batch, kv_heads * group, kv_heads, dim, value_dim, queries, {}, {}, {}, {}, {}, {}};
    extent e{batch, kv_heads * group, kv_heads, longest,
             at.kind == storage::dense && at.lengths.size() == 0 ? at.slots : 0};
    wide work = 0;
    if (at.valid)
        for (int64 b = 0; b < batch; ++b) {
            p.first.push_back(at.first(b));
            p.end.push_back(at.end(b));
            p.total.push_back(at.end(b));
            p.gone.push_back(at.gone(b));
            work += wide{at.end(b) - at.first(b)} * queries[static_cast<std::size_t>(b)] * (dim + value_dim) *
                    kv_heads * group;
            e.keys = std::max(e.keys, at.end(b));
        }
    if (work > most_work) return;
    if (valid)
        for (int64 b = 0; b < batch; ++b) {
            p.k.push_back(k.decoded(at, b, kv_heads, dim));
            p.v.push_back(v.decoded(at, b, kv_heads, value_dim, true));
            p.q.push_back(
                is_packed ? decoded(q.v, 0, bounds[static_cast<std::size_t>(b)], queries[static_cast<std::size_t>(b)])
                          : decoded(q.v, b, 0, alike));
        }
    // Tables by key are as long as the longest sequence: not where a ring's is.
    const bool tables = at.valid && e.keys < 2000 && e.batch * e.query_heads * e.queries * e.keys < 100000;
    constexpr normalizer n = Picks ? normalizer::softpick : normalizer::softmax;
    recipe<float> r =
        recipe<float>::drawn(in, n, tables ? e : extent{1, 1, 1, 1, 1}, dim, !tables, hostile && in.one_in(4));
    if (!tables) {
        r.has_offsets = true;
        r.offsets = {at.valid && batch > 0 ? std::max<int64>(at.end(0), 1) - 1 : 0};
        r.mask.a.what = mask_leaf::causal;
    }
    valid = valid && r.is_sound(tables ? e : extent{batch, e.query_heads, kv_heads, longest, e.keys});
    bool overlaps = false;
    if (valid) overlaps = touch(rows_of(out.v));
    const owned_statistics<float> stats(in, has_memory ? q_size.batch * q_size.heads * q_size.tokens : 0);
    const heed::packed<const float> rows{heed::view<const float>(q.v), is_packed ? limits.view : heed::index_view{}};
    const answer a = with_source<ByK, ByV, Own>(at, k, v, [&](const auto& source) {
        const auto reading = heed::detail::as_const(source);  // a cache of const views: kernels of one type less
        if constexpr (Picks)
            return call_attend(in, whole_definition(r, heed::softpick{r.parameter}), rows, reading, out.v, stats.s,
                               has_memory);
        else return call_attend(in, whole_definition(r, heed::softmax{}), rows, reading, out.v, stats.s, has_memory);
    });
    if (a.what == outcome::refused) {
        require(all_memory().unchanged(), "refused, but something was written: " + a.says);
        require(!valid || overlaps || !strides_nest(out.v), "refused without a reason: " + a.says);
        return;
    }
    if (a.what == outcome::too_large) return;
    require(valid && !overlaps, "taken, though it is not sound");
    const row_bytes outputs(out.v);
    require(all_memory().unchanged_but(
                [&](const std::byte* x) { return outputs(x) || stats.owns(x) || all_memory().is_last(x); }),
            "something beside the output was written");
    const oracle<float> judge(r, p, ByK != scaling::none || ByV != scaling::none);
    for (int64 b = 0; b < batch; ++b)
        for (int64 h = 0; h < p.query_heads; ++h)
            for (int64 t = 0; t < queries[static_cast<std::size_t>(b)]; ++t) {
                const int64 line = is_packed ? bounds[static_cast<std::size_t>(b)] + t : t;
                const auto x = judge.weigh(b, h, t);
                const std::string where =
                    " at [" + std::to_string(b) + ", " + std::to_string(h) + ", " + std::to_string(t) + "]";
                std::string wrong = judge.judge(x, b, out.v.row(is_packed ? 0 : b, h, line));
                require(wrong.empty(), wrong + where);
                wrong = stats.judge(judge, x, ((is_packed ? 0 : b) * p.query_heads + h) * q_size.tokens + line);
                require(wrong.empty(), wrong + where);
            }
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    using enum scaling;
    input in(data, size);
    switch (in.range(0, 7)) {
    case 0: cache_case<float, float, none, none, own::paged_and_ring, false>(in); break;
    case 1: cache_case<float, float, none, none, own::none, true>(in); break;
    case 2: cache_case<heed::fp8_e5m2, std::int8_t, by_token, by_token, own::none, true>(in); break;
    case 3: cache_case<std::int8_t, heed::fp8_e4m3, by_channel, by_token, own::none, false>(in); break;
    case 4: cache_case<heed::q8_0, heed::q4_0, none, none, own::none, false>(in); break;
    case 5: cache_case<heed::q5_0, heed::mxfp4, none, none, own::none, false>(in); break;
    case 6: cache_case<heed::q5_1, heed::iq4_nl, none, none, own::none, false>(in); break;
    case 7: cache_case<heed::u8_block<64>, heed::u4_block<32>, none, none, own::none, false>(in); break;
    }
    return 0;
}
