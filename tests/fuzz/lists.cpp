// SPDX-License-Identifier: MIT
// attend over lists of selected keys, sound and hostile: refused exactly where plain loops find the lists wrong, with
// nothing written; otherwise the bits of the same keys as a predicate. The tables end where memory may not be touched.
// Keys are floats, or blocks whose rows stand any number of bytes apart, in products of floats and of integers.
#include "memory.hpp"
#include "numbers.hpp"

#include <heed/heed.hpp>

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

    /// Attends to the lists over `kv`, which is sound or not, and to a predicate over `copy`, which has the same rows.
    template <class Kv, class Copy, class... Policies>
    void judge(input& in, const Kv& kv, bool is_sound, const Copy& copy, const Policies&... policies) const
    {
        const drawn_lists& l = lists;
        const heed::extents out_size{q_size.batch, q_size.heads, q_size.tokens, v_size.dim};
        const std::vector<float> blank(
            static_cast<std::size_t>(q_size.batch * q_size.heads * q_size.tokens * v_size.dim), -7);
        float* const out = table(in, blank);
        const heed::selected_keys selected(heed::index_view(table(in, l.offsets), static_cast<int64>(l.offsets.size())),
                                           heed::index_view(table(in, l.entries), static_cast<int64>(l.entries.size())),
                                           l.shape);
        const int64 keys = k_size.tokens, queries = q_size.tokens;
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
        const auto listed = [&](int64 b, int64 h, int64 position, int64 key) {
            return l.lists(b, h, position - (keys - queries), key);
        };
        heed::or_throw(heed::attend(heed::attention{heed::attend_where{listed}, window, policies...}, q, copy,
                                    heed::bhsd(want.data(), out_size)));
        require(std::memcmp(out, want.data(), want.size() * sizeof(float)) == 0, "lists have other bits than a mask");
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
    const int64 what = in.range(0, 4);
    const int64 kv_heads = in.range(1, 2), group = in.range(1, 4);
    const int64 dim = what < 2 ? in.range(1, 20) : 32 * in.range(1, 3),
                value_dim = what < 2 ? in.range(1, 40) : 32 * in.range(1, 2);
    const int64 keys = in.one_in(3) ? in.range(1, 30) : in.one_of(some_keys);
    const drawn_call call(in, kv_heads, {in.range(1, 2), kv_heads * group, in.one_of(some_rows), dim}, keys, value_dim);
    switch (what) {
    case 2: blocks_case<heed::q8_0, heed::q4_0>(in, call); break;
    case 3: blocks_case<heed::q8_0, heed::q8_0>(in, call, heed::compute<std::int8_t>{}); break;
    case 4: blocks_case<heed::q4_0, heed::q8_0>(in, call, heed::compute<std::int8_t, 8>{}); break;
    default: {
        const heed::dense_kv kv{call.numbers(in, call.k_size), call.numbers(in, call.v_size)};
        call.judge(in, kv, true, kv);
    }
    }
    return 0;
}
