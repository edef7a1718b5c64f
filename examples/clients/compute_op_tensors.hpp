// SPDX-License-Identifier: MIT
// The tensors of the compute op: what they are, what they must be, and heed's views of them.
#pragma once

#include <heed/heed.hpp>

#include <algorithm>
#include <cmath>

namespace compute_op {

using int64 = std::int64_t;

enum class type { f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl };

/// ne: sizes, innermost first. nb: distances of neighbours, in bytes; nb[0] is that of two elements, of blocks in a
/// quantised type. That of a size of 1 is not looked at.
struct tensor {
    void* data = nullptr;
    compute_op::type type = compute_op::type::f32;
    int64 ne[4] = {1, 1, 1, 1};
    std::size_t nb[4] = {0, 0, 0, 0};
};

struct parameters {
    float scale = 1;
    float max_bias = 0;       ///< ALiBi; 0: every slope is 1
    float logit_softcap = 0;  ///< 0: none
};

/// Any strides with contiguous rows. H is a multiple of Hkv; q, out and sinks are f32.
struct tensors {
    tensor q;                       // [D, Nq, H, B]
    tensor k, v;                    // [D, Nkv, Hkv, B], [Dv, Nkv, Hkv, B]
    tensor out;                     // [Dv, H, Nq, B]
    const tensor* mask = nullptr;   // f16 or f32 [Nkv, Nq or more, M2, M3]: that of head h, batch b is h % M2, b % M3
    const tensor* sinks = nullptr;  // [H]: a logit beside those of the keys
    const heed::mask_summary* mask_summary = nullptr;  // of the mask, by summarise(); null: compute() looks at it
};

/// K and V of these types have kernels; so many in a list, which the functions of the op take as an argument.
template <type K, type V = K>
struct kv_types {
    static constexpr type key = K, value = V;
};
template <class... Pairs>
struct kernels {};

using same_types =
    kernels<kv_types<type::f32>, kv_types<type::f16>, kv_types<type::bf16>, kv_types<type::q8_0>, kv_types<type::q4_0>>;
/// And the others, and what ggml's own test mixes.
using all_types =
    kernels<kv_types<type::f32>, kv_types<type::f16>, kv_types<type::bf16>, kv_types<type::q8_0>, kv_types<type::q4_0>,
            kv_types<type::q4_1>, kv_types<type::q5_0>, kv_types<type::q5_1>, kv_types<type::iq4_nl>,
            kv_types<type::q8_0, type::q4_0>, kv_types<type::q4_0, type::q8_0>, kv_types<type::q4_0, type::f16>,
            kv_types<type::f16, type::q4_0>, kv_types<type::f16, type::f32>>;

namespace detail {

using heed::errc;
using heed::status;
using ll = long long;

template <type T>
struct element;
template <>
struct element<type::f32> {
    using of = float;
};
template <>
struct element<type::f16> {
    using of = heed::f16;
};
template <>
struct element<type::bf16> {
    using of = heed::bf16;
};
template <>
struct element<type::q8_0> {
    using of = heed::q8_0;
};
template <>
struct element<type::q4_0> {
    using of = heed::q4_0;
};
template <>
struct element<type::q4_1> {
    using of = heed::q4_1;
};
template <>
struct element<type::q5_0> {
    using of = heed::q5_0;
};
template <>
struct element<type::q5_1> {
    using of = heed::q5_1;
};
template <>
struct element<type::iq4_nl> {
    using of = heed::iq4_nl;
};

struct type_of {
    const char* name;
    int64 bytes, channels;  // of an element
};
inline type_of describe(type t)
{
    switch (t) {
    case type::f32: return {"f32", sizeof(float), 1};
    case type::f16: return {"f16", sizeof(heed::f16), 1};
    case type::bf16: return {"bf16", sizeof(heed::bf16), 1};
    case type::q8_0: return {"q8_0", sizeof(heed::q8_0), heed::channels_of<heed::q8_0>};
    case type::q4_0: return {"q4_0", sizeof(heed::q4_0), heed::channels_of<heed::q4_0>};
    case type::q4_1: return {"q4_1", sizeof(heed::q4_1), heed::channels_of<heed::q4_1>};
    case type::q5_0: return {"q5_0", sizeof(heed::q5_0), heed::channels_of<heed::q5_0>};
    case type::q5_1: return {"q5_1", sizeof(heed::q5_1), heed::channels_of<heed::q5_1>};
    case type::iq4_nl: return {"iq4_nl", sizeof(heed::iq4_nl), heed::channels_of<heed::iq4_nl>};
    }
    return {"unknown", 0, 1};
}

/// f(K{}, V{}) for the element types of k and v, if the list has them.
template <class F, class... Pairs>
status with_types(kernels<Pairs...>, type k, type v, F f)
{
    status result;
    [[maybe_unused]] const auto tried = [&](auto pair) {
        using P = decltype(pair);
        if (k != P::key || v != P::value) return false;
        result = f(typename element<P::key>::of{}, typename element<P::value>::of{});
        return true;
    };
    if ((tried(Pairs{}) || ...)) return result;
    for (const type t : {k, v})
        if (describe(t).bytes == 0)
            return status::error(errc::unsupported, "compute_op: %s: type %d is none that there is", t == k ? "k" : "v",
                                 static_cast<int>(t));
    return status::error(errc::unsupported, "compute_op: no kernel for k of %s and v of %s is compiled",
                         describe(k).name, describe(v).name);
}

/// A tensor [channels, tokens, heads, batch] as a view; or, with heads_first, [channels, heads, tokens, batch].
template <class E>
status view_of(const char* name, const tensor& t, type wanted, heed::view<E>& to, bool heads_first = false)
{
    const type_of is = describe(t.type);
    if (reinterpret_cast<std::uintptr_t>(t.data) % alignof(E) != 0)
        return status::error(errc::invalid_argument, "compute_op: %s: data is not aligned to the elements of %s", name,
                             describe(wanted).name);
    if (t.type != wanted)
        return status::error(errc::unsupported, "compute_op: %s: is of %s, must be of %s", name, is.name,
                             describe(wanted).name);
    int64 step[4] = {is.bytes, 0, 0, 0};
    for (int i = 0; i < 4; ++i) {
        if (t.ne[i] / (i == 0 ? is.channels : 1) <= 1) continue;
        constexpr bool has_blocks = heed::channels_of < std::remove_const_t < E >>> 1;
        constexpr std::size_t aligned = has_blocks ? alignof(E) : sizeof(E);
        if (t.nb[i] % aligned != 0)
            return status::error(errc::invalid_argument,
                                 "compute_op: %s: nb[%d] = %zu is not a multiple of %zu, the %s of %s", name, i,
                                 t.nb[i], aligned, has_blocks ? "alignment" : "bytes", is.name);
        step[i] = static_cast<int64>(t.nb[i]);
    }
    if (step[0] != is.bytes)
        return status::error(errc::unsupported,
                             "compute_op: %s: rows of ne[0] = %lld are not contiguous: nb[0] = %zu, must be %lld, the "
                             "bytes of %s",
                             name, ll{t.ne[0]}, t.nb[0], ll{is.bytes}, is.name);
    const int tokens = heads_first ? 2 : 1, heads = heads_first ? 1 : 2;
    to = heed::strided_bytes(static_cast<E*>(t.data), {t.ne[3], t.ne[heads], t.ne[tokens], t.ne[0]},
                             {step[3], step[heads], step[tokens]});
    return {};
}

inline status check_mask(const tensors& t)
{
    const int64* m = t.mask->ne;
    const int64 keys = t.k.ne[1], queries = t.q.ne[1], heads = t.q.ne[2], batch = t.q.ne[3];
    if (m[0] != keys || m[1] < queries || m[2] < 1 || heads % m[2] != 0 || m[3] < 1 || batch % m[3] != 0)
        return status::error(errc::invalid_argument,
                             "compute_op: mask: [%lld, %lld, %lld, %lld] does not repeat to [%lld, %lld, %lld, %lld]",
                             ll{m[0]}, ll{m[1]}, ll{m[2]}, ll{m[3]}, ll{keys}, ll{queries}, ll{heads}, ll{batch});
    if (!t.mask_summary || !t.mask_summary->is_made()) return {};
    const heed::extents& of = t.mask_summary->size();
    if (of.dim == keys && of.tokens == queries && of.heads == m[2] && of.batch == m[3]) return {};
    return status::error(errc::invalid_argument,
                         "compute_op: mask_summary: of [%lld, %lld, %lld, %lld], must be of [%lld, %lld, %lld, %lld]",
                         ll{of.dim}, ll{of.tokens}, ll{of.heads}, ll{of.batch}, ll{keys}, ll{queries}, ll{m[2]},
                         ll{m[3]});
}

/// The mask as a table of the one type or of the other.
struct mask_table {
    heed::view<const heed::f16> halves;
    heed::view<const float> floats;

    /// f(table) with the one that is there.
    template <class F>
    auto with(F f) const
    {
        return floats.size.dim > 0 ? f(floats) : f(halves);
    }
};

/// The rows that the queries have of the mask; none where the op has none.
inline status mask_of(const tensors& t, mask_table& to)
{
    if (!t.mask) return {};
    const bool is_f32 = t.mask->type == type::f32;
    status s = is_f32 ? view_of("mask", *t.mask, type::f32, to.floats) : view_of("mask", *t.mask, type::f16, to.halves);
    if (s) s = check_mask(t);
    (is_f32 ? to.floats.size : to.halves.size).tokens = t.q.ne[1];
    if (!s || t.k.ne[1] == 0 || t.q.ne[1] == 0) return s;
    return to.with([](const auto& table) { return heed::detail::check_sizes("compute_op", "mask", table); });
}

inline status check_sinks(const tensors& t)
{
    const int64* n = t.sinks->ne;
    if (n[0] == t.q.ne[2] && n[1] == 1 && n[2] == 1 && n[3] == 1) return {};
    return status::error(errc::invalid_argument, "compute_op: sinks: [%lld, %lld, %lld, %lld] for %lld heads of q",
                         ll{n[0]}, ll{n[1]}, ll{n[2]}, ll{n[3]}, ll{t.q.ne[2]});
}

/// That out has the sizes it must have, and no two of its rows an element in common.
inline status check_out(const tensors& t)
{
    const int64 *n = t.out.ne, must[4] = {t.v.ne[0], t.q.ne[2], t.q.ne[1], t.q.ne[3]};
    if (!std::equal(n, n + 4, must))
        return status::error(errc::invalid_argument,
                             "compute_op: out: [%lld, %lld, %lld, %lld], must be [%lld, %lld, %lld, %lld]", ll{n[0]},
                             ll{n[1]}, ll{n[2]}, ll{n[3]}, ll{must[0]}, ll{must[1]}, ll{must[2]}, ll{must[3]});
    if (std::find(n, n + 4, 0) != n + 4) return {};
    int order[3] = {1, 2, 3};
    std::sort(order, order + 3,
              [&](int a, int b) { return t.out.nb[a] < t.out.nb[b] || (t.out.nb[a] == t.out.nb[b] && a < b); });
    std::size_t span = static_cast<std::size_t>(n[0]) * sizeof(float);
    for (const int i : order) {
        if (n[i] <= 1) continue;
        if (t.out.nb[i] < span)
            return status::error(errc::invalid_argument,
                                 "compute_op: out: nb[%d] = %zu is less than the %zu bytes it must step over", i,
                                 t.out.nb[i], span);
        span = t.out.nb[i] * static_cast<std::size_t>(n[i]);
    }
    return {};
}

/// What need not be there before the op is computed.
inline status check_data(const tensors& t)
{
    if (t.mask && !t.mask->data && std::all_of(t.mask->ne, t.mask->ne + 4, [](int64 n) { return n > 0; }))
        return status::error(errc::invalid_argument, "compute_op: mask: data is null");
    if (t.sinks && !t.sinks->data && t.sinks->ne[0] > 0)
        return status::error(errc::invalid_argument, "compute_op: sinks: data is null");
    return {};
}

inline status check_max_bias(const parameters& p, const tensors& t)
{
    if (!(p.max_bias >= 0) || !std::isfinite(p.max_bias))
        return status::error(errc::invalid_argument, "compute_op: max_bias is %g, must be finite and not negative",
                             static_cast<double>(p.max_bias));
    if (p.max_bias > 0 && !t.mask)
        return status::error(errc::invalid_argument, "compute_op: max_bias is %g, and no mask has distances for it",
                             static_cast<double>(p.max_bias));
    return {};
}

}  // namespace detail
}  // namespace compute_op
