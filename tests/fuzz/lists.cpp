// SPDX-License-Identifier: MIT
// attend over lists of selected keys, sound and hostile: refused exactly where plain loops find the lists wrong, with
// nothing written; otherwise the bits of the same keys as a predicate. The tables end where memory may not be touched.
// Keys are floats, or blocks whose rows stand any number of bytes apart, in products of floats and of integers; floats
// in pages; or codes in pages, whose scales and zero points are those of blocks of tokens, beside a float copy of what
// they stand for. Gradients of listed floats have the bits of the predicate's too.
#include "memory.hpp"
#include "numbers.hpp"

#include <heed/backward.hpp>
#include <heed/heed.hpp>

#include <algorithm>
#include <numeric>

namespace {

using namespace fuzz;

/// Lists, and what they say of a key in plain loops.
struct drawn_lists {
    heed::list_shape shape;
    std::vector<int64> offsets;
    std::vector<std::int32_t> entries;
    int64 batch, query_heads, kv_heads, queries, keys;

    drawn_lists(input& in, heed::extents q, int64 heads, int64 of_keys, bool hostile)
        : batch(q.batch), query_heads(q.heads), kv_heads(heads), queries(q.tokens), keys(of_keys)
    {
        constexpr int64 blocks[] = {1, 1, 1, 2, 3, 16, 17, 128, 512};
        shape.block = in.one_of(blocks);
        if (in.one_in(2)) {
            shape.heads = kv_heads;
            shape.group = query_heads / kv_heads;
        }
        if (in.one_in(2)) {
            shape.rows = in.range(1, 5);
            shape.row_blocks = (queries + shape.rows - 1) / shape.rows + (in.one_in(4) ? 1 : 0);
        }
        offsets.push_back(0);
        const std::uint64_t share = static_cast<std::uint64_t>(in.range(0, 8));
        for (int64 n = 0; n < batch * shape.heads * shape.row_blocks; ++n) {
            for (int64 e = 0; e * shape.block < keys; ++e)
                if (in.random() % 8 < share && (shape.block > 1 || in.random() % 4 == 0))
                    entries.push_back(static_cast<std::int32_t>(e));
            offsets.push_back(static_cast<int64>(entries.size()));
        }
        if (hostile) spoil(in);
    }
    bool is_sound() const
    {
        const heed::list_shape& s = shape;
        if (s.block < 1 || s.block > 512 || s.rows < 1 || s.row_blocks < 1) return false;
        if (wide{s.rows} * s.row_blocks < queries) return false;
        if (s.heads != 1 && (s.heads != kv_heads || wide{s.heads} * s.group != query_heads)) return false;
        if (wide{batch} * s.heads * s.row_blocks + 1 != static_cast<wide>(offsets.size()) || offsets[0] != 0)
            return false;
        for (std::size_t n = 1; n < offsets.size(); ++n)
            if (offsets[n] < offsets[n - 1] || offsets[n] > static_cast<int64>(entries.size())) return false;
        for (std::size_t n = 1; n < offsets.size(); ++n)
            for (int64 i = offsets[n - 1]; i < offsets[n]; ++i) {
                const int64 e = entries[static_cast<std::size_t>(i)];
                if (e < 0 || e * s.block >= keys) return false;
                if (i > offsets[n - 1] && e <= entries[static_cast<std::size_t>(i - 1)]) return false;
            }
        return true;
    }
    bool lists(int64 b, int64 h, int64 row, int64 key) const
    {
        const int64 head = shape.heads > 1 ? h / shape.group : 0;
        const auto n = static_cast<std::size_t>((b * shape.heads + head) * shape.row_blocks + row / shape.rows);
        for (int64 i = offsets[n]; i < offsets[n + 1]; ++i)
            if (entries[static_cast<std::size_t>(i)] == key / shape.block) return true;
        return false;
    }

private:
    void spoil(input& in)
    {
        const auto any = [&](auto& v) -> auto&
        {
            return v[static_cast<std::size_t>(in.range(0, static_cast<int64>(v.size()) - 1))];
        };
        int64* const numbers[] = {&shape.block, &shape.heads, &shape.group, &shape.row_blocks, &shape.rows};
        const int64 what = in.range(0, 3);
        if (what == 0) *numbers[in.range(0, 4)] = in.one_in(2) ? in.hostile() : in.range(-1, 4);
        if (what == 1) any(offsets) = in.one_in(2) ? in.hostile() : in.range(-1, 30);
        if (what == 2 && !entries.empty())
            any(entries) = static_cast<std::int32_t>(in.one_in(2) ? in.hostile() : in.range(-1, keys));
        if (what == 3) offsets.resize(offsets.size() - 1 + static_cast<std::size_t>(in.range(0, 2)), 0);
    }
};

/// A call that draws: sizes, lists, queries.
struct drawn_call {
    heed::extents q_size, k_size, v_size;
    drawn_lists lists;
    heed::view<const float> q;

    drawn_call(input& in, int64 kv_heads, heed::extents of_q, int64 keys, int64 value_dim)
        : q_size(of_q), k_size{of_q.batch, kv_heads, keys, of_q.dim}, v_size{of_q.batch, kv_heads, keys, value_dim},
          lists(in, of_q, kv_heads, keys, in.one_in(3)), q(numbers(in, of_q))
    {}
    static heed::view<const float> numbers(input& in, heed::extents e)
    {
        std::vector<float> x(static_cast<std::size_t>(e.batch * e.heads * e.tokens * e.dim));
        for (float& v : x) v = static_cast<float>(in.random() % 2001) / 500 - 2;
        return heed::bhsd(static_cast<const float*>(table(in, x)), e);
    }

    /// The lists in plain loops, for attend_where.
    auto predicate() const
    {
        return [this](int64 b, int64 h, int64 position, int64 key) {
            return lists.lists(b, h, position - (k_size.tokens - q_size.tokens), key);
        };
    }
    /// Attends to the lists over `kv`, which is sound or not, and to a predicate over `copy`, which has the same rows.
    template <class Kv, class Copy, class... Policies>
    void judge(input& in, const Kv& kv, bool is_sound, const Copy& copy, const Policies&... policies) const
    {
        const drawn_lists& l = lists;
        const heed::extents out_size{q_size.batch, q_size.heads, q_size.tokens, v_size.dim};
        const std::vector<float> blank(
            static_cast<std::size_t>(q_size.batch * q_size.heads * q_size.tokens * v_size.dim), -7);
        float* const out = table(in, blank);
        const heed::selected_keys selected = keys_of(in);
        const int64 keys = k_size.tokens;
        const heed::window window{in.one_in(2) ? heed::unbounded : in.range(0, keys),
                                  in.one_in(2) ? heed::unbounded : 0};
        const heed::status s =
            heed::attend(heed::attention{selected, window, policies...}, q, kv, heed::bhsd(out, out_size));
        require(static_cast<bool>(s) == (l.is_sound() && is_sound), std::string("lists: ") + s.message());
        if (!s) {
            require(std::memcmp(out, blank.data(), blank.size() * sizeof(float)) == 0, "refused lists wrote something");
            return;
        }
        std::vector<float> want(blank);
        const auto listed = predicate();
        heed::or_throw(heed::attend(heed::attention{heed::attend_where{listed}, window, policies...}, q, copy,
                                    heed::bhsd(want.data(), out_size)));
        require(std::memcmp(out, want.data(), want.size() * sizeof(float)) == 0, "lists have other bits than a mask");
    }
    /// The same of gradients of dense floats, whose lists are sound.
    void judge_gradients(input& in, const heed::view<const float>& k, const heed::view<const float>& v) const
    {
        if (!lists.is_sound()) return;
        const heed::view<const float> dout = numbers(in, {q_size.batch, q_size.heads, q_size.tokens, v_size.dim});
        const std::vector<float> of_lists = gradients_of(heed::attention{keys_of(in)}, k, v, dout),
                                 of_mask = gradients_of(heed::attention{heed::attend_where{predicate()}}, k, v, dout);
        require(std::memcmp(of_lists.data(), of_mask.data(), of_mask.size() * sizeof(float)) == 0,
                "gradients of lists have other bits than those of a mask");
    }

private:
    heed::selected_keys keys_of(input& in) const
    {
        const drawn_lists& l = lists;
        return {heed::index_view(table(in, l.offsets), static_cast<int64>(l.offsets.size())),
                heed::index_view(table(in, l.entries), static_cast<int64>(l.entries.size())), l.shape};
    }
    /// dq, dk and dv, one behind the other.
    template <class Def>
    std::vector<float> gradients_of(const Def& def, const heed::view<const float>& k, const heed::view<const float>& v,
                                    const heed::view<const float>& dout) const
    {
        const auto count = [](const heed::extents& e) { return e.batch * e.heads * e.tokens * e.dim; };
        const auto lines = static_cast<std::size_t>(q_size.batch * q_size.heads * q_size.tokens);
        std::vector<float> shift(lines), mass(lines), out(static_cast<std::size_t>(count(dout.size))),
            all(static_cast<std::size_t>(count(q_size) + count(k_size) + count(v_size)), -7);
        heed::options<float> how;
        how.stats = {shift.data(), mass.data(), nullptr};
        heed::or_throw(heed::attend(def, q, k, v, heed::bhsd(out.data(), dout.size), how));
        heed::gradients<float> to;
        to.dq = heed::bhsd(all.data(), q_size);
        to.dk = heed::bhsd(all.data() + count(q_size), k_size);
        to.dv = heed::bhsd(all.data() + count(q_size) + count(k_size), v_size);
        heed::or_throw(heed::backward(def, q, k, v, heed::bhsd(static_cast<const float*>(out.data()), dout.size),
                                      how.stats, dout, to));
        return all;
    }
};

/// Rows of blocks that stand any number of bytes apart, of which no byte between them may be touched, and side by side.
template <class E>
struct rows_of_blocks {
    std::vector<E> side_by_side;
    heed::view<const E> apart, copy;
    bool is_sound;

    rows_of_blocks(input& in, const heed::extents& e)
        : side_by_side(static_cast<std::size_t>(e.batch * e.heads * e.tokens * e.dim / 32)),
          copy(heed::bhsd(static_cast<const E*>(side_by_side.data()), e))
    {
        for (E& x : side_by_side) {
            x.d = element_of<heed::f16>((0.1 + in.uniform()) / 64);
            for (auto& q : x.q) q = static_cast<std::decay_t<decltype(q)>>(in.random());
        }
        constexpr int64 block = sizeof(E), alignment = alignof(E);
        const int64 row = e.dim / 32 * block,
                    step = row + (in.one_in(8) ? in.range(0, 40) : alignment * in.range(0, 20));
        const int64 head = (step * e.tokens + alignment) / alignment * alignment;
        is_sound = e.tokens == 1 || step % alignment == 0;
        std::byte* const memory_of_all =
            all_memory().block(static_cast<std::size_t>(head * e.heads * e.batch), in.one_in(2));
        const auto open = heed::strided_bytes(reinterpret_cast<E*>(memory_of_all), e, {head * e.heads, head, step});
        for (int64 b = 0; is_sound && b < e.batch; ++b)
            for (int64 h = 0; h < e.heads; ++h)
                for (int64 t = 0; t < e.tokens; ++t) {
                    memory::open(open.row(b, h, t), static_cast<std::size_t>(row));
                    std::memcpy(open.row(b, h, t), copy.row(b, h, t), static_cast<std::size_t>(row));
                }
        apart = open;
    }
};

/// Pages in any order: the page of a token, and its slot.
struct drawn_pages {
    int64 slots, width;
    std::vector<int64> pages, lengths;

    drawn_pages(input& in, int64 of_slots, int64 batch, int64 keys)
        : slots(of_slots), width((keys + of_slots - 1) / of_slots), pages(static_cast<std::size_t>(batch * width)),
          lengths(static_cast<std::size_t>(batch), keys)
    {
        std::iota(pages.begin(), pages.end(), int64{0});
        for (std::size_t i = pages.size(); i > 1; --i) std::swap(pages[i - 1], pages[in.random() % i]);
    }
    int64 count() const { return static_cast<int64>(pages.size()); }
    int64 page(int64 b, int64 t) const { return pages[static_cast<std::size_t>(b * width + t / slots)]; }
    heed::page_table table() const { return heed::page_table::padded(pages, width, lengths); }
    /// f(row of a dense tensor, row of the pool, its page, head and slot) for all tokens.
    template <class A, class B, class F>
    void for_rows(const heed::view<A>& rows, const heed::view<B>& pool, F f) const
    {
        for (int64 b = 0; b < rows.size.batch; ++b)
            for (int64 h = 0; h < rows.size.heads; ++h)
                for (int64 t = 0; t < rows.size.tokens; ++t)
                    f(rows.row(b, h, t), pool.row(page(b, t), h, t % slots), page(b, t), h, t % slots);
    }
};

/// Values in pages, and all else that a pool holds NaN.
heed::view<const float> in_pages(input& in, const drawn_pages& of, const heed::view<const float>& rows)
{
    const heed::extents e{of.count(), rows.size.heads, of.slots, rows.size.dim};
    std::vector<float> x(static_cast<std::size_t>(e.batch * e.heads * e.tokens * e.dim), NAN);
    of.for_rows(rows, heed::bhsd(x.data(), e),
                [&](const float* from, float* to, int64, int64, int64) { std::copy_n(from, e.dim, to); });
    return heed::bhsd(static_cast<const float*>(table(in, x)), e);
}

/// Codes in pages of one to three blocks of tokens, beside the floats that plain arithmetic makes of them.
template <int Bits>
void codes_case(input& in, const drawn_call& call)
{
    const int64 block = 16 * in.range(1, 3), dim = call.k_size.dim;
    const drawn_pages at(in, block * in.range(1, 3), call.k_size.batch, call.k_size.tokens);
    const heed::extents e{at.count(), call.k_size.heads, at.slots, dim}, s{e.batch, e.heads, at.slots / block, dim};
    std::vector<heed::codes<Bits>> codes(static_cast<std::size_t>(e.batch * e.heads * e.tokens * dim / 32));
    std::vector<float> scale(static_cast<std::size_t>(s.batch * s.heads * s.tokens * dim)), zero(scale),
        copy(static_cast<std::size_t>(call.k_size.batch * e.heads * call.k_size.tokens * dim));
    for (auto& c : codes)
        for (auto& q : c.q) q = static_cast<std::uint8_t>(in.random());
    for (float& x : scale) x = static_cast<float>(0.1 + in.uniform()) / (1 << Bits);
    for (float& x : zero) x = static_cast<float>(in.uniform()) * (1 << Bits);
    const auto k = heed::bhsd(codes.data(), e);
    const auto scales = heed::bhsd(static_cast<const float*>(table(in, scale)), s),
               zeros = heed::bhsd(static_cast<const float*>(table(in, zero)), s);
    at.for_rows(heed::bhsd(copy.data(), call.k_size), k,
                [&](float* to, const heed::codes<Bits>* row, int64 page, int64 h, int64 slot) {
                    for (int64 c = 0; c < dim; ++c) {
                        const int q =
                            Bits == 8 ? row[c / 32].q[c % 32] : row[c / 32].q[c % 32 / 2] >> (c % 2 ? 0 : 4) & 15;
                        const float difference = static_cast<float>(q) - zeros.row(page, h, slot / block)[c];
                        to[c] = difference * scales.row(page, h, slot / block)[c];
                    }
                });
    const heed::view<const float> v = call.numbers(in, call.v_size);
    const heed::scaled_kv kv{heed::paged_kv{heed::bhsd(static_cast<const heed::codes<Bits>*>(table(in, codes)), e),
                                            in_pages(in, at, v), at.table()},
                             heed::per_channel_block{scales, zeros, block}, heed::unscaled{}};
    call.judge(in, kv, true, heed::dense_kv{heed::bhsd(static_cast<const float*>(copy.data()), call.k_size), v});
}

template <class K, class V, class... Policies>
void blocks_case(input& in, const drawn_call& call, const Policies&... policies)
{
    const rows_of_blocks<K> k(in, call.k_size);
    const rows_of_blocks<V> v(in, call.v_size);
    call.judge(in, heed::dense_kv{k.apart, v.apart}, k.is_sound && v.is_sound, heed::dense_kv{k.copy, v.copy},
               policies...);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    input in(data, size);
    all_memory().clear();
    constexpr int64 some_keys[] = {1, 15, 16, 40, 511, 513, 700, 1100}, some_rows[] = {1, 1, 2, 3, 5, 9, 20};
    const int64 what = in.range(0, 7);
    const int64 kv_heads = in.range(1, 2), group = in.range(1, 4);
    const int64 dim = what < 3 ? in.range(1, 20) : 32 * in.range(1, 3),
                value_dim = what < 3 ? in.range(1, 40) : 32 * in.range(1, 2);
    const int64 drawn = in.one_in(3) ? in.range(1, 30) : in.one_of(some_keys);
    const int64 keys = what > 5 ? std::min<int64>(drawn, 513) : drawn;  // what a pool takes is limited
    const drawn_call call(in, kv_heads, {in.range(1, 2), kv_heads * group, in.one_of(some_rows), dim}, keys, value_dim);
    switch (what) {
    case 2: {
        const heed::view<const float> k = call.numbers(in, call.k_size), v = call.numbers(in, call.v_size);
        const drawn_pages at(in, in.range(1, 40), k.size.batch, keys);
        call.judge(in, heed::paged_kv{in_pages(in, at, k), in_pages(in, at, v), at.table()}, true,
                   heed::dense_kv{k, v});
        break;
    }
    case 3: blocks_case<heed::q8_0, heed::q4_0>(in, call); break;
    case 4: blocks_case<heed::q8_0, heed::q8_0>(in, call, heed::compute<std::int8_t>{}); break;
    case 5: blocks_case<heed::q4_0, heed::q8_0>(in, call, heed::compute<std::int8_t, 8>{}); break;
    case 6: codes_case<8>(in, call); break;
    case 7: codes_case<4>(in, call); break;
    default: {
        const heed::dense_kv kv{call.numbers(in, call.k_size), call.numbers(in, call.v_size)};
        call.judge(in, kv, true, kv);
        if (in.one_in(2)) call.judge_gradients(in, kv.k, kv.v);
    }
    }
    return 0;
}
