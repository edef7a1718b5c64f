// SPDX-License-Identifier: MIT
// Caches of every kind, batches of sequences that differ and sequences in parts, against formulas that share no code
// with heed. What a cache holds is written here token by token, by what its documentation says of slots, pages and
// scales.
#include "plain_caches.hpp"

namespace {

using namespace oracle;

/// Of query rows, each of two heads of a kv head: decode of one register block and of two, and prefill. With 16 n + 3
/// tokens the first of two blocks ends where sixteen keys do.
const std::vector<int64> row_counts{1, 3, 6, 40};

TEST_CASE("a ring attends the tokens that it still holds, each at its own position", "[oracle][plain]")
{
    const auto judge_ring = [](int64 capacity, const std::vector<int64>& lengths) {
        const tokens of(lengths);
        const auto n = static_cast<int64>(lengths.size());
        test::tensor<float> k({n, of.kv_heads, capacity, of.key_dim}, NAN);
        test::tensor<float> v({n, of.kv_heads, capacity, of.value_dim}, NAN);
        for (int64 b = 0; b < n; ++b)
            for (int64 t = 0; t < of.length(b); ++t) of.write(b, t, k.view(), v.view(), b, t % capacity);
        plain::problem p = of.formula();
        p.holds = [&of, capacity](int64 b, int64 t) { return t < of.length(b) && t >= of.length(b) - capacity; };
        for (const int64 rows : row_counts) judge_all_masks(of, rows, heed::ring_kv{k.in(), v.in(), of.lengths()}, p);

        // what was taken back: the tokens before firsts[b] are there no more
        std::vector<int64> firsts;
        for (int64 b = 0; b < n; ++b) firsts.push_back(of.length(b) - 40 / (1 + b));
        p.holds = [&](int64 b, int64 t) {
            return t < of.length(b) && t >= of.length(b) - capacity && t >= firsts[static_cast<std::size_t>(b)];
        };
        const heed::index_view from{firsts.data(), n};
        for (const int64 rows : row_counts)
            judge_all_masks(of, rows, heed::ring_kv{k.in(), v.in(), of.lengths(), from}, p);
    };
    judge_ring(32, {19, 32, 33, 147, 1});
    judge_ring(550, {700, 549, 1600});
}

TEST_CASE("pages hold the tokens that their table says", "[oracle][plain]")
{
    for (const int64 slots : {5, 31, 64}) {
        const tokens of({67, 1, 531, 64, 0});
        const test::page_lists lists(of.all_lengths(), slots);
        test::tensor<float> k({lists.pool_pages(), of.kv_heads, slots, of.key_dim}, NAN);
        test::tensor<float> v({lists.pool_pages(), of.kv_heads, slots, of.value_dim}, NAN);
        for (int64 b = 0; b < of.batch(); ++b)
            for (int64 t = 0; t < of.length(b); ++t) of.write(b, t, k.view(), v.view(), lists.page_of(b, t), t % slots);
        for (const int64 rows : row_counts) {
            judge_all_masks(of, rows, heed::paged_kv{k.in(), v.in(), lists.padded()}, of.formula());
            judge_all_masks(of, rows, heed::paged_kv{k.in(), v.in(), lists.csr()}, of.formula());
        }
    }
}

TEST_CASE("packed queries belong to the sequences that their bounds say, of caches of any length", "[oracle][plain]")
{
    const tokens of({67, 72, 531, 64});
    test::tensor<float> k({of.batch(), of.kv_heads, 540, of.key_dim}, NAN);
    test::tensor<float> v({of.batch(), of.kv_heads, 540, of.value_dim}, NAN);
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 t = 0; t < of.length(b); ++t) of.write(b, t, k.view(), v.view(), b, t);
    const heed::dense_kv kv{k.in(), v.in(), of.lengths()};
    for (const int64 rows : row_counts) judge_all_masks(of, rows, kv, of.formula());

    const std::vector<int64> bounds{0, 5, 5, 6, 59};
    const int64 all = bounds.back();
    const test::tensor<float> q = test::normal<float>({1, of.heads, all, of.key_dim}, 23, 1.5);
    plain::problem p = of.formula();
    const auto begin = [&](int64 b) { return bounds[static_cast<std::size_t>(b)]; };
    p.rows = [&](int64 b) { return begin(b + 1) - begin(b); };
    p.q = [&](int64 b, int64 h, int64 i, int64 c) { return numbers_of(q)(0, h, begin(b) + i, c); };
    const heed::packed rows{q.in(), heed::index_view{bounds.data(), static_cast<int64>(bounds.size())}};
    for (const stated_mask& mask : masks_of_caches()) {
        INFO(mask.name);
        const auto def = def_of(mask);
        test::tensor<float> out({1, of.heads, all, of.value_dim}, -7);
        std::vector<float> lse(static_cast<std::size_t>(of.heads * all), -7);
        test::two_threads two;
        for (const heed::executor_ref& executor : {heed::executor_ref{}, heed::executor_ref{two}}) {
            REQUIRE(heed::attend(def, rows, kv, out.view(),
                                 {.executor = executor, .stats = {nullptr, nullptr, lse.data()}}));
            for (int64 b = 0; b < of.batch(); ++b)
                for (int64 h = 0; h < of.heads; ++h)
                    for (int64 i = 0; i < p.rows(b); ++i) {
                        const plain::row r = plain::row_of(formula_of(mask, p), p, b, h, i);
                        const int64 line = begin(b) + i;
                        check_row(r, out.in().row(0, h, line), b, h, i);
                        check("lse", static_cast<std::size_t>(i), r.lse, lse[static_cast<std::size_t>(h * all + line)]);
                    }
        }
    }
}

TEST_CASE("scales of channels and of tokens multiply the numbers that they belong to", "[oracle][plain]")
{
    const tokens of({70, 70, 70});
    std::mt19937_64 random(9);
    std::uniform_int_distribution<int> whole(-127, 127);
    std::uniform_real_distribution<float> some(0.004f, 0.03f);
    test::tensor<std::int8_t> k({3, of.kv_heads, 70, of.key_dim}), v({3, of.kv_heads, 70, of.value_dim});
    for (auto& x : k.data) x = static_cast<std::int8_t>(whole(random));
    for (auto& x : v.data) x = static_cast<std::int8_t>(whole(random));
    test::tensor<float> of_channels({1, of.kv_heads, 1, of.key_dim}), of_tokens({3, of.kv_heads, 70, 1});
    for (float& x : of_channels.data) x = some(random);
    for (float& x : of_tokens.data) x = some(random);
    const heed::scaled_kv kv{heed::dense_kv{k.in(), v.in()}, heed::per_channel{of_channels.in()},
                             heed::per_token{of_tokens.in()}};
    plain::problem p = of.formula();
    p.k = [&](int64 b, int64 h, int64 t, int64 c) {
        return numbers_of(k)(b, h, t, c) * numbers_of(of_channels)(0, h, 0, c);
    };
    p.v = [&](int64 b, int64 h, int64 t, int64 c) {
        return numbers_of(v)(b, h, t, c) * numbers_of(of_tokens)(b, h, t, 0);
    };
    for (const int64 rows : row_counts) judge_all_masks(of, rows, kv, p);

    // those of keys that no row attends may be anything
    for (int64 b = 0; b < of.batch(); ++b)
        for (int64 h = 0; h < of.kv_heads; ++h)
            for (int64 t = 0; t < 62; ++t) *of_tokens.view().row(b, h, t) = NAN;
    judge_all_masks(of, 3, kv, p, "a short window");
}

TEMPLATE_TEST_CASE("a ring of 8-bit floats has its tokens' scales, and its values one for a head", "[oracle][plain]",
                   heed::fp8_e4m3, heed::fp8_e5m2)
{
    constexpr int64 capacity = 32;
    const tokens of({20, 33, 100});
    std::mt19937_64 random(10);
    std::uniform_real_distribution<float> some(0.004f, 0.03f);
    const auto drawn = [&](heed::extents e) {
        test::tensor<TestType> t(e);
        constexpr std::uint64_t codes = std::is_same_v<TestType, heed::fp8_e4m3> ? 0x78 : 0x5c;  // up to 240 and 224
        for (auto& x : t.data) x.bits = static_cast<std::uint8_t>(random() % codes | (random() & 0x80));
        return t;
    };
    const auto k = drawn({3, of.kv_heads, capacity, of.key_dim}), v = drawn({3, of.kv_heads, capacity, of.value_dim});
    test::tensor<float> of_tokens({3, of.kv_heads, capacity, 1}), of_heads({1, of.kv_heads, 1, 1});
    for (float& x : of_tokens.data) x = some(random);
    for (float& x : of_heads.data) x = some(random);
    const heed::view<const float> repeated{of_heads.data.data(), {3, of.kv_heads, capacity, 1}, {0, 1, 0}};
    const heed::scaled_kv kv{heed::ring_kv{k.in(), v.in(), of.lengths()}, heed::per_token{of_tokens.in()},
                             heed::per_token{repeated}};
    const auto stored = [&](const test::tensor<TestType>& x, int64 b, int64 h, int64 t, int64 c) {
        return fp8(
            x.data[static_cast<std::size_t>(((b * of.kv_heads + h) * capacity + t % capacity) * x.size.dim + c)]);
    };
    plain::problem p = of.formula();
    p.holds = [&of](int64 b, int64 t) { return t < of.length(b) && t >= of.length(b) - capacity; };
    p.k = [&](int64 b, int64 h, int64 t, int64 c) {
        return stored(k, b, h, t, c) * numbers_of(of_tokens)(b, h, t % capacity, 0);
    };
    p.v = [&](int64 b, int64 h, int64 t, int64 c) { return stored(v, b, h, t, c) * numbers_of(of_heads)(0, h, 0, 0); };
    for (const int64 rows : row_counts) judge_all_masks(of, rows, kv, p);
}

TEST_CASE("parts of a sequence count their keys from the first, and merge to the whole", "[oracle][plain]")
{
    const tokens of({1300, 1300});
    const int64 rows = 9;
    const test::tensor<float> q = of.queries(rows);
    const float logits[]{0.5f, 2, -1, 9}, tilts[]{0.01f, 0.02f, 0.03f, 0.04f};
    plain::problem p = of.formula();
    p.q = numbers_of(q);
    p.rows = [](int64) { return rows; };
    for (const stated_mask& mask : masks_of_caches()) {
        INFO(mask.name);
        const heed::attention def{heed::softmax_sink{logits, of.heads}, heed::alibi{tilts, of.heads}, mask.mask,
                                  heed::scale{cache_scale}};
        plain::definition formula = formula_of(mask, p);
        formula.log_c = [&](int64 h) { return static_cast<double>(logits[h]); };
        formula.tilt = [&](int64 h) { return static_cast<double>(tilts[h]); };
        const heed::extents size{2, of.heads, rows, of.value_dim};
        // the first part as it comes, the others for themselves; the last does not say how many keys there are
        test::owned_state<float> first(def, size), other(def, size), last(def, size);
        const auto add = [&](test::owned_state<float>& to, int64 from, int64 end, int64 total) {
            REQUIRE(heed::attend_partial(def, q.in(), test::tokens(of.k().in(), from, end - from),
                                         test::tokens(of.v().in(), from, end - from), to.state(), {from, total}));
        };
        add(first, 0, 512, 1300);
        add(first, 512, 600, 1300);
        add(other, 600, 1024, 1300);
        add(last, 1024, 1300, -1);
        REQUIRE(heed::merge(last.state(), other.state()));
        REQUIRE(heed::merge(first.state(), last.state()));
        test::tensor<float> out(size, -7);
        std::vector<float> lse(static_cast<std::size_t>(2 * of.heads * rows), -7);
        REQUIRE(heed::finish(def, first.state(), out.view(), lse.data()));
        for (int64 b = 0; b < 2; ++b)
            for (int64 h = 0; h < of.heads; ++h)
                for (int64 i = 0; i < rows; ++i) {
                    const plain::row r = plain::row_of(formula, p, b, h, i);
                    check_row(r, out.in().row(b, h, i), b, h, i);
                    check("lse", static_cast<std::size_t>(i), r.lse,
                          lse[static_cast<std::size_t>((b * of.heads + h) * rows + i)]);
                }
    }
}

}  // namespace
