// SPDX-License-Identifier: MIT
// attend over lists of selected keys, sound and hostile: refused exactly where plain loops find the lists wrong, with
// nothing written; otherwise the bits of the same keys as a predicate. The tables end where memory may not be touched.
#include "memory.hpp"

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    input in(data, size);
    all_memory().clear();
    constexpr int64 some_keys[] = {1, 15, 16, 40, 511, 513, 700, 1100}, some_rows[] = {1, 1, 2, 3, 5, 9, 20};
    const int64 kv_heads = in.range(1, 2), group = in.range(1, 4), dim = in.range(1, 20), value_dim = in.range(1, 40);
    const int64 keys = in.one_in(3) ? in.range(1, 30) : in.one_of(some_keys);
    const heed::extents q_size{in.range(1, 2), kv_heads * group, in.one_of(some_rows), dim};
    const bool hostile = in.one_in(3);
    const drawn_lists l(in, q_size, kv_heads, keys, hostile);
    const auto numbers = [&](heed::extents e) {
        std::vector<float> x(static_cast<std::size_t>(e.batch * e.heads * e.tokens * e.dim));
        for (float& v : x) v = static_cast<float>(in.random() % 2001) / 500 - 2;
        return heed::bhsd(static_cast<const float*>(table(in, x)), e);
    };
    const auto q = numbers(q_size), k = numbers({q_size.batch, kv_heads, keys, dim});
    const auto v = numbers({q_size.batch, kv_heads, keys, value_dim});
    const heed::extents out_size{q_size.batch, q_size.heads, q_size.tokens, value_dim};
    const std::vector<float> blank(static_cast<std::size_t>(q_size.batch * q_size.heads * q_size.tokens * value_dim),
                                   -7);
    float* const out = table(in, blank);
    const heed::selected_keys selected(heed::index_view(table(in, l.offsets), static_cast<int64>(l.offsets.size())),
                                       heed::index_view(table(in, l.entries), static_cast<int64>(l.entries.size())),
                                       l.shape);
    const heed::window window{in.one_in(2) ? heed::unbounded : in.range(0, keys), in.one_in(2) ? heed::unbounded : 0};
    const heed::status s = heed::attend(heed::attention{selected, window}, q, k, v, heed::bhsd(out, out_size));
    require(static_cast<bool>(s) == l.is_sound(), std::string("lists: ") + s.message());
    if (!s) {
        require(std::memcmp(out, blank.data(), blank.size() * sizeof(float)) == 0, "refused lists wrote something");
        return 0;
    }
    std::vector<float> want(blank);
    const auto listed = [&](int64 b, int64 h, int64 position, int64 key) {
        return l.lists(b, h, position - (keys - q_size.tokens), key);
    };
    heed::or_throw(
        heed::attend(heed::attention{heed::attend_where{listed}, window}, q, k, v, heed::bhsd(want.data(), out_size)));
    require(std::memcmp(out, want.data(), want.size() * sizeof(float)) == 0, "lists have other bits than a mask");
    return 0;
}
