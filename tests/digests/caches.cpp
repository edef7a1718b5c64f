// SPDX-License-Identifier: MIT
// Caches: what append() writes, and what attention over it gives, for every element; pages and rings.
#include "channel_blocks.hpp"
#include "digests.hpp"
#include "quantised.hpp"

#include <heed/hadamard.hpp>

#include <utility>

namespace digests {
namespace {

constexpr int64 heads = 2, dim = 64, keys = 700;
const heed::extents size{1, heads, keys, dim};

template <class E>
constexpr bool is_scaled = std::is_same_v<E, std::int8_t>;

/// A dense cache of one sequence.
template <class E>
struct cache {
    tensor<E> k{size}, v{size};
    tensor<float> k_scale{{1, heads, keys, 1}}, v_scale{{1, heads, keys, 1}};

    auto kv()
    {
        const heed::dense_kv rows{k.view(), v.view()};
        if constexpr (is_scaled<E>)
            return heed::scaled_kv{rows, heed::per_token{k_scale.view()}, heed::per_token{v_scale.view()}};
        else return rows;
    }
};

template <class E>
void add(sink& to, const std::string& name)
{
    const inputs<float> in(1, 8, heads, 1, keys, dim, dim), many(1, 8, heads, 40, keys, dim, dim);
    cache<E> c;
    heed::or_throw(heed::append(c.kv(), 0, 0, in.k.in(), in.v.in()));
    if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ && heed::channels_of < E >> 1)
        to.skip("append, " + name, "scales of blocks lie in the byte order of the machine");
    else to.give("append, " + name, hash().add(c.k.data).add(c.v.data).add(c.k_scale.data).add(c.v_scale.data));
    tensor<float> k(size), v(size), one(in.out_size()), more(many.out_size());
    heed::or_throw(heed::fetch(c.kv(), 0, 0, k.view(), v.view()));
    to.give("fetch, " + name, hash().add(k.data).add(v.data));
    const heed::attention def{heed::softmax{}, heed::causal{}};
    heed::or_throw(heed::attend(def, in.q.in(), c.kv(), one.view()));
    heed::or_throw(heed::attend(def, many.q.in(), c.kv(), more.view()));
    to.give("attend, " + name, hash().add(one.data).add(more.data));
}

/// Keys of codes in blocks of 32 tokens, beside values of q8_0.
template <int Bits>
void add_codes(sink& to, const std::string& name)
{
    const inputs<float> in(1, 8, heads, 1, keys, dim, dim), many(1, 8, heads, 40, keys, dim, dim);
    test::key_blocks<Bits> k(size, 32);
    tensor<heed::q8_0> v(size);
    const heed::scaled_kv kv{heed::dense_kv{k.codes.view(), v.view()}, k.scales(), heed::unscaled{}};
    heed::or_throw(heed::append(kv, 0, 0, in.k.in(), in.v.in()));
    to.give("append, " + name, hash().add(k.codes.data).add(k.scale.data).add(k.zero.data));
    tensor<float> one(in.out_size()), more(many.out_size());
    const heed::attention def{heed::softmax{}, heed::causal{}};
    heed::or_throw(heed::attend(def, in.q.in(), kv, one.view()));
    heed::or_throw(heed::attend(def, many.q.in(), kv, more.view()));
    to.give("attend, " + name, hash().add(one.data).add(more.data));
}

/// Products of integers: decode and prefill.
template <class E, int Bits>
void add_integers(sink& to, const std::string& name)
{
    const inputs<float> in(1, 8, heads, 1, keys, dim, dim), many(1, 8, heads, 40, keys, dim, dim);
    cache<E> c;
    heed::or_throw(heed::append(c.kv(), 0, 0, in.k.in(), in.v.in()));
    tensor<float> one(in.out_size()), more(many.out_size());
    const heed::attention def{heed::softmax{}, heed::causal{}, heed::compute<std::int8_t, Bits>{}};
    heed::or_throw(heed::attend(def, in.q.in(), c.kv(), one.view()));
    heed::or_throw(heed::attend(def, many.q.in(), c.kv(), more.view()));
    to.give("attend, " + name, hash().add(one.data).add(more.data));
}

/// Rotations of rows of every size up to 1024, with signs; and what append() writes of such keys and values.
template <class T>
void add_rotations(sink& to, const std::string& name)
{
    numbers from(5);
    std::vector<float> signs(1024);
    for (float& s : signs) s = from.bits() % 2 == 0 ? 1.f : -1.f;
    hash of_rotated;
    for (int64 d = 1; d <= 1024; d *= 2) {
        tensor<T> x = drawn<T>({1, 2, 3, d}, static_cast<std::uint64_t>(d));
        heed::or_throw(heed::rotate(x.view(), {signs}));
        of_rotated.add(x.data);
    }
    to.give(name, of_rotated);
}
template <class E>
void add_rotated(sink& to, const std::string& name)
{
    const inputs<float> in(1, 8, heads, 1, keys, dim, dim);
    cache<E> c;
    const heed::hadamard by;
    heed::or_throw(heed::append(c.kv(), 0, 0, in.k.in(), in.v.in(), heed::row_transforms{by, by}));
    to.give(name, hash().add(c.k.data).add(c.v.data).add(c.k_scale.data).add(c.v_scale.data));
}

}  // namespace

void caches(sink& to)
{
    add<heed::bf16>(to, "bf16");
    add<heed::f16>(to, "f16");
    add<std::int8_t>(to, "int8");
    add<heed::fp8_e4m3>(to, "fp8_e4m3");
    add<heed::q8_0>(to, "q8_0");
    add<heed::q4_0>(to, "q4_0");
    add<heed::q5_0>(to, "q5_0");
    add<heed::q4_1>(to, "q4_1");
    add<heed::q5_1>(to, "q5_1");
    add<heed::iq4_nl>(to, "iq4_nl");
    add<heed::mxfp4>(to, "mxfp4");

    add_integers<std::int8_t, 16>(to, "int8 by 16 bits");
    add_integers<heed::q8_0, 16>(to, "q8_0 by 16 bits");
    add_integers<heed::q4_0, 8>(to, "q4_0 by 8 bits");

    const inputs<float> in(3, 4, heads, 5, keys, dim, dim);
    const std::vector<int64> lengths{700, 33, 250};
    const heed::attention def{heed::softpick{}, heed::causal{}};
    tensor<float> out(in.out_size());
    const test::page_lists lists(lengths, 48, 32);
    test::page_pool<float> k(lists, in.k, test::layout::page_slot_head), v(lists, in.v, test::layout::page_slot_head);
    heed::or_throw(heed::attend(def, in.q.in(), heed::paged_kv{k.in(), v.in(), lists.padded()}, out.view()));
    to.give("attend, pages", hash().add(out.data));
    const tensor<float> k_ring = test::in_ring(in.k, lengths, 100), v_ring = test::in_ring(in.v, lengths, 100);
    heed::or_throw(
        heed::attend(def, in.q.in(), heed::ring_kv{k_ring.in(), v_ring.in(), {lengths.data(), 3}}, out.view()));
    to.give("attend, ring", hash().add(out.data));

    add<heed::u8_block<64>>(to, "u8_block");
    add<heed::u4_block<32>>(to, "u4_block");
    add_rotations<float>(to, "rotate");
    add_rotations<double>(to, "rotate, double");
    add_rotated<std::int8_t>(to, "append, int8 of rotated rows");

    add<heed::fp8_e5m2>(to, "fp8_e5m2");
    add_codes<8>(to, "codes of 8 bits");
    add_codes<4>(to, "codes of 4 bits");
}

}  // namespace digests
