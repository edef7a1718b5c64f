// SPDX-License-Identifier: MIT
// Quantised rows and their scales between pages that may not be touched: nothing outside is read by attention, and
// append writes to nothing else.
#include "guarded.hpp"
#include "quantised.hpp"

#include <heed/append.hpp>

using namespace test;

namespace {

/// K, V and scales as they lie in guarded memory, flush with the page behind or `offset` elements after the page
/// before; rows are `gap` elements apart. What lies between and around is 0xff.
template <class K, class V>
struct guarded_cache {
    guarded k{1 << 19}, v{1 << 19}, k_scales{1 << 14}, v_scales{1 << 14};

    template <class E>
    static heed::view<E> place(guarded& memory, const tensor<E>& rows, int64 gap, int offset)
    {
        const int64 row = heed::elements_for<E>(rows.size.dim), step = row + gap,
                    n = rows.size.heads * rows.size.tokens;
        E* const at = memory.template place<E>(n > 0 ? n * step - gap : 0, offset);
        for (int64 i = 0; i < n; ++i) {
            std::copy_n(rows.data.data() + i * row, row, at + i * step);
            if (i + 1 < n && gap > 0)
                std::memset(static_cast<void*>(at + i * step + row), 0xff, static_cast<std::size_t>(gap) * sizeof(E));
        }
        return {at, rows.size, {0, rows.size.tokens * step, step}};
    }

    /// Attends with `queries` rows to `keys` rows, and appends to them.
    template <class Def, class How>
    void check(const Def& def, const How& how, int64 queries, int64 keys, int64 key_dim, int64 value_dim, int64 gap,
               int offset)
    {
        CAPTURE(queries, keys, key_dim, value_dim, gap, offset);
        const auto seed = static_cast<std::uint64_t>(keys);
        const tensor<float> q = normal<float>({1, 2, queries, key_dim}, seed);
        tensor<K> k_rows = drawn_elements<K>({1, 1, keys, key_dim}, seed + 1);
        tensor<V> v_rows = drawn_elements<V>({1, 1, keys, value_dim}, seed + 2);
        tensor<float> ks = drawn_scales({1, 1, keys, 1}, seed + 3, 0.02),
                      vs = drawn_scales({1, 1, keys, 1}, seed + 4, 0.02);
        tensor<float> expected({1, 2, queries, value_dim}, -7), out = expected;
        heed::or_throw(heed::attend(def, q.in(), how(heed::dense_kv{k_rows.in(), v_rows.in()}, ks.in(), vs.in()),
                                    expected.view()));
        const heed::view<K> gk = place(k, k_rows, gap, offset);
        const heed::view<V> gv = place(v, v_rows, gap, offset);
        const heed::view<float> gks = place(k_scales, ks, gap, offset), gvs = place(v_scales, vs, gap, offset);
        const auto constant = [](const auto& view) {
            return heed::view<const std::remove_reference_t<decltype(*view.data)>>(view);
        };
        heed::or_throw(heed::attend(
            def, q.in(), how(heed::dense_kv{constant(gk), constant(gv)}, constant(gks), constant(gvs)), out.view()));
        REQUIRE(same_bits(out.data, expected.data));
        if (keys == 0) return;

        const int64 from = keys / 2, n = keys - from;
        const tensor<float> x = normal<float>({1, 1, n, key_dim}, seed + 5),
                            y = normal<float>({1, 1, n, value_dim}, seed + 6);
        heed::or_throw(heed::append(how(heed::dense_kv{k_rows.view(), v_rows.view()}, ks.view(), vs.view()), 0, from,
                                    x.in(), y.in()));
        heed::or_throw(heed::append(how(heed::dense_kv{gk, gv}, gks, gvs), 0, from, x.in(), y.in()));
        holds(k, gk, k_rows, gap);
        holds(v, gv, v_rows, gap);
        holds(k_scales, gks, ks, gap);
        holds(v_scales, gvs, vs, gap);
    }

private:
    /// The rows, and 0xff everywhere else.
    template <class E>
    static void holds(const guarded& memory, const heed::view<E>& at, const tensor<E>& rows, int64 gap)
    {
        const auto row = static_cast<std::size_t>(heed::elements_for<E>(rows.size.dim)) * sizeof(E);
        for (int64 t = 0; t < rows.size.tokens; ++t) {
            REQUIRE(std::memcmp(at.row(0, 0, t), rows.in().row(0, 0, t), row) == 0);
            const auto* behind = reinterpret_cast<const unsigned char*>(at.row(0, 0, t)) + row;
            for (std::size_t i = 0; t + 1 < rows.size.tokens && i < static_cast<std::size_t>(gap) * sizeof(E); ++i)
                REQUIRE(behind[i] == 0xff);
        }
        REQUIRE(memory.untouched_around(at.data, (rows.size.tokens - 1) * at.stride.tokens +
                                                     heed::elements_for<E>(rows.size.dim)));
    }
};

/// Key counts 0 to 130 and one of two tiles, at head sizes that are multiples of `unit`; query counts, gaps and places
/// rotate, at periods without common factor.
template <class K, class V, class Def, class How>
void sweep(const Def& def, const How& how, int64 unit)
{
    guarded_cache<K, V> memory;
    constexpr int64 queries[] = {1, 3, 7, 20, 2};
    constexpr int offsets[] = {0, 1, 3};
    int64 turn = 0;
    for (int64 i = 0; i <= 131; ++i) {
        const int64 keys = i < 131 ? i : 600;
        for (int64 d = i % 3; d < 8; d += 3, ++turn) {
            const int64 key_dim = unit * (d + 1), value_dim = unit * ((d * 5 + i) % 9 + 1);
            for (const int offset : {-1, offsets[turn % 3]})
                memory.check(def, how, queries[turn % 5], keys, key_dim, value_dim, turn % 11 % 4, offset);
        }
    }
}

struct unscaled_rows {
    template <class Source, class Scales>
    auto operator()(const Source& source, const Scales&, const Scales&) const
    {
        return source;
    }
};
struct scaled_rows {
    template <class Source, class Scales>
    auto operator()(const Source& source, const Scales& k, const Scales& v) const
    {
        return heed::scaled_kv{source, heed::per_token{k}, heed::per_token{v}};
    }
};

}  // namespace

TEST_CASE("nothing outside the rows of blocks is touched")
{
    SECTION("q8_0 keys, q4_0 values")
    {
        sweep<heed::q8_0, heed::q4_0>(heed::attention{heed::softmax{}}, unscaled_rows{}, 32);
    }
    SECTION("q4_0 keys, q8_0 values")
    {
        sweep<heed::q4_0, heed::q8_0>(heed::attention{heed::softpick{}}, unscaled_rows{}, 32);
    }
    SECTION("q5_0") { sweep<heed::q5_0, heed::q5_0>(heed::attention{heed::softmax{}}, unscaled_rows{}, 32); }
    SECTION("q5_1 keys, iq4_nl values")
    {
        sweep<heed::q5_1, heed::iq4_nl>(heed::attention{heed::softmax{}}, unscaled_rows{}, 32);
    }
    SECTION("with zero points")
    {
        sweep<heed::u8_block<32>, heed::u4_block<64>>(heed::attention{heed::softmax{}}, unscaled_rows{}, 64);
    }
}

TEST_CASE("nothing outside the rows of int8 and fp8 and of their scales is touched")
{
    SECTION("int8 keys, fp8 values, odd head sizes")
    {
        sweep<std::int8_t, heed::fp8_e4m3>(heed::attention{heed::softpick{}}, scaled_rows{}, 7);
    }
    SECTION("fp8 keys, int8 values, odd head sizes")
    {
        sweep<heed::fp8_e4m3, std::int8_t>(heed::attention{heed::softmax{}}, scaled_rows{}, 13);
    }
}

namespace {

/// A pool of whole pages that ends, or starts, where memory does, each page listed once, in another order.
template <class K, class V>
struct guarded_pool {
    guarded k{1 << 18}, v{1 << 18}, k_scales{1 << 14}, v_scales{1 << 14};

    template <class E>
    static heed::view<const E> place(guarded& memory, const tensor<E>& rows, int64 slots,
                                     const std::vector<int64>& pages, int offset)
    {
        const int64 row = heed::elements_for<E>(rows.size.dim), count = static_cast<int64>(pages.size());
        const heed::view<E> pool =
            heed::bhsd(memory.template place<E>(count * slots * row, offset), {count, 1, slots, rows.size.dim});
        for (int64 t = 0; t < rows.size.tokens; ++t)
            std::copy_n(rows.in().row(0, 0, t), row,
                        pool.row(pages[static_cast<std::size_t>(t / slots)], 0, t % slots));
        return pool;
    }

    template <class Def, class How>
    void check(const Def& def, const How& how, int64 queries, int64 slots, int64 keys, int64 key_dim, int64 value_dim)
    {
        const auto seed = static_cast<std::uint64_t>(slots);
        const tensor<float> q = normal<float>({1, 2, queries, key_dim}, seed);
        const auto k_rows = drawn_elements<K>({1, 1, keys, key_dim}, seed + 1);
        const auto v_rows = drawn_elements<V>({1, 1, keys, value_dim}, seed + 2);
        const tensor<float> ks = drawn_scales({1, 1, keys, 1}, seed + 3, 0.02),
                            vs = drawn_scales({1, 1, keys, 1}, seed + 4, 0.02);
        tensor<float> expected({1, 2, queries, value_dim}, -7), out = expected;
        heed::or_throw(heed::attend(def, q.in(), how(heed::dense_kv{k_rows.in(), v_rows.in()}, ks.in(), vs.in()),
                                    expected.view()));
        std::vector<int64> pages(static_cast<std::size_t>((keys + slots - 1) / slots));
        std::iota(pages.begin(), pages.end(), 0);
        std::shuffle(pages.begin(), pages.end(), std::mt19937_64(seed));
        const auto count = static_cast<int64>(pages.size());
        const heed::page_table table =
            heed::page_table::padded(heed::index_view(pages.data(), count), count, heed::index_view(&keys, 1));
        for (const int offset : {-1, 0}) {
            CAPTURE(queries, slots, keys, offset);
            const auto gk = place(k, k_rows, slots, pages, offset);
            const auto gv = place(v, v_rows, slots, pages, offset);
            const auto gks = place(k_scales, ks, slots, pages, offset), gvs = place(v_scales, vs, slots, pages, offset);
            heed::or_throw(heed::attend(def, q.in(), how(heed::paged_kv{gk, gv, table}, gks, gvs), out.view()));
            REQUIRE(same_bits(out.data, expected.data));
        }
    }
};

template <class K, class V, class Def, class How>
void sweep_pages(const Def& def, const How& how, int64 key_dim, int64 value_dim)
{
    guarded_pool<K, V> pool;
    for (const int64 slots : {1, 5, 8, 16, 40})
        for (const int64 queries : {1, 3, 30})
            for (const int64 tokens : {3 * slots, 3 * slots - slots / 2, (600 / slots) * slots})
                pool.check(def, how, queries, slots, tokens, key_dim, value_dim);
}

}  // namespace

TEST_CASE("nothing outside the pages of a quantised pool and of its scales is read")
{
    SECTION("q8_0 keys, q4_0 values")
    {
        sweep_pages<heed::q8_0, heed::q4_0>(heed::attention{heed::softmax{}}, unscaled_rows{}, 96, 64);
    }
    SECTION("int8 keys, fp8 values, odd head sizes")
    {
        sweep_pages<std::int8_t, heed::fp8_e4m3>(heed::attention{heed::softpick{}}, scaled_rows{}, 33, 45);
    }
}
