// SPDX-License-Identifier: MIT
// Packed sequences have the gradients that each has alone, bit by bit, in any number of threads.
#include "gradients.hpp"

#include <heed/executor/threads.hpp>
#include <heed/kv/packed.hpp>

#include <catch2/catch.hpp>

#include <algorithm>

using namespace test;

namespace {

constexpr int64 heads = 4, kv_heads = 2, key_dim = 32, value_dim = 64;
const std::vector<float> tilts{0.5f, 0.25f, 0.125f, 0.0625f};

/// Sequences that differ: some have more rows than keys, some none, two have several blocks of rows and tiles of keys.
struct sequences {
    std::vector<int64> rows{5, 0, 130, 7, 60, 1}, keys{40, 30, 500, 0, 900, 1};
    std::vector<std::int32_t> row_bounds{0}, key_bounds{0};
    gradient_problem<float> p;  // one behind the other
    tensor<float> added = normal<float>({1, heads, 1, 900}, 9);
    std::vector<float> dlse;

    sequences() : p(problem<float>(1, heads, kv_heads, 203, 1471, key_dim, value_dim))
    {
        for (std::size_t b = 0; b < rows.size(); ++b) {
            row_bounds.push_back(row_bounds.back() + static_cast<std::int32_t>(rows[b]));
            key_bounds.push_back(key_bounds.back() + static_cast<std::int32_t>(keys[b]));
        }
        dlse = normal<float>({1, 1, heads, 203}, 10).data;
    }
    int64 count() const { return static_cast<int64>(rows.size()); }
    int64 row_0(int64 b) const { return row_bounds[static_cast<std::size_t>(b)]; }
    int64 key_0(int64 b) const { return key_bounds[static_cast<std::size_t>(b)]; }
    int64 rows_of(int64 b) const { return rows[static_cast<std::size_t>(b)]; }
    int64 keys_of(int64 b) const { return keys[static_cast<std::size_t>(b)]; }
    heed::view<const float> q(const tensor<float>& of, int64 b) const { return tokens(of.in(), row_0(b), rows_of(b)); }
    heed::view<const float> kv(const tensor<float>& of, int64 b) const { return tokens(of.in(), key_0(b), keys_of(b)); }

    template <class Normalizer>
    auto def(const Normalizer& normalizer, int64 n_keys) const
    {
        heed::view<const float> bias = added.in();
        bias.size.dim = n_keys;
        return heed::attention{normalizer, heed::alibi{tilts}, heed::bias{bias}, heed::causal{}, heed::scale{0.25}};
    }
};

bool same(heed::view<const float> a, heed::view<const float> b)
{
    for (int64 h = 0; h < a.size.heads; ++h)
        for (int64 i = 0; i < a.size.tokens; ++i)
            if (std::memcmp(a.row(0, h, i), b.row(0, h, i), static_cast<std::size_t>(a.size.dim) * sizeof(float)) != 0)
                return false;
    return true;
}

template <class Normalizer>
void packed_is_alone(const Normalizer& normalizer)
{
    const sequences s;
    const auto def = s.def(normalizer, 900);
    const heed::packed q{s.p.q.in(), s.row_bounds};
    const heed::packed_kv kv{s.p.k.in(), s.p.v.in(), s.key_bounds};
    forward_pass<float> f{tensor<float>(s.p.out_size()), std::vector<float>(heads * 203),
                          std::vector<float>(heads * 203)};
    heed::or_throw(heed::attend(def, q, kv, f.out.view(), {.stats = f.stats()}));
    const auto all = [&](const heed::options<float>& how) {
        auto g = s.p.room_for<float>(def);
        g.dbias = tensor<float>({s.count(), heads, 130, 900}, -7.f);
        heed::or_throw(heed::backward(def, q, kv, heed::output_gradients{f.out.in(), f.stats(), s.p.dout.in(), s.dlse},
                                      g.all(), how));
        return g;
    };
    const owned_gradients<float> packed = all({});
    for (int threads = 2; threads <= 8; ++threads) {
        heed::thread_pool pool(threads);
        REQUIRE(all({.executor = pool}) == packed);
    }
    for (int64 b = 0; b < s.count(); ++b) {
        CAPTURE(b);
        const int64 n = s.rows_of(b), n_keys = s.keys_of(b);
        gradient_problem<float> one(problem<float>(1, heads, kv_heads, n, n_keys, key_dim, value_dim));
        const auto alone = s.def(normalizer, n_keys);
        std::vector<float> dlse;
        for (int64 h = 0; h < heads; ++h)
            for (int64 i = 0; i < n; ++i) dlse.push_back(s.dlse[static_cast<std::size_t>(h * 203 + s.row_0(b) + i)]);
        const heed::view<const float> rows = s.q(s.p.q, b), k = s.kv(s.p.k, b), v = s.kv(s.p.v, b);
        forward_pass<float> of_one{tensor<float>(one.out_size()), std::vector<float>(dlse.size()),
                                   std::vector<float>(dlse.size())};
        heed::or_throw(heed::attend(alone, rows, k, v, of_one.out.view(), {.stats = of_one.stats()}));
        auto g = one.room_for<float>(alone);
        heed::or_throw(heed::backward(alone, rows, heed::dense_kv{k, v},
                                      heed::output_gradients{of_one.out.in(), of_one.stats(), s.q(s.p.dout, b), dlse},
                                      g.all()));
        REQUIRE(same(g.dq.in(), s.q(packed.dq, b)));
        REQUIRE(same(g.dk.in(), s.kv(packed.dk, b)));
        REQUIRE(same(g.dv.in(), s.kv(packed.dv, b)));
        for (int64 h = 0; h < heads; ++h)
            for (int64 i = 0; i < 130; ++i)
                for (int64 j = 0; j < 900; ++j) {
                    const float got = packed.dbias.in().row(b, h, i)[j];
                    if (i < n && j < n_keys) REQUIRE(got == g.dbias.in().row(0, h, i)[j]);
                    else REQUIRE(got == 0);
                }
    }
}

}  // namespace

TEST_CASE("packed sequences have the gradients that each has alone, in any number of threads")
{
    SECTION("softmax1") { packed_is_alone(heed::softmax1{}); }
    SECTION("softpick") { packed_is_alone(heed::softpick{1e-2}); }
}

TEST_CASE("dk and dv of packed keys are 0 in rooms that are not full, and are not written beside rooms")
{
    const gradient_problem<float> p(problem<float>(1, heads, kv_heads, 40, 600, key_dim, value_dim));
    const std::vector<std::int32_t> rows{0, 10, 40}, room{100, 100, 590}, lengths{0, 420};
    const heed::attention def{heed::softmax{}, heed::causal{}, heed::scale{0.25}};
    const heed::packed q{p.q.in(), rows};
    forward_pass<float> f{tensor<float>(p.out_size()), std::vector<float>(heads * 40), std::vector<float>(heads * 40)};
    const heed::packed_kv kv{p.k.in(), p.v.in(), room, lengths};
    heed::or_throw(heed::attend(def, q, kv, f.out.view(), {.stats = f.stats()}));
    auto g = p.room_for<float>(def);
    heed::or_throw(heed::backward(def, q, kv, heed::output_gradients{f.out.in(), f.stats(), p.dout.in()}, g.all()));
    for (int64 h = 0; h < kv_heads; ++h)
        for (int64 j = 0; j < 600; ++j) {
            const auto all_are = [&](const tensor<float>& t, float x) {
                const float* row = t.in().row(0, h, j);
                return std::all_of(row, row + t.size.dim, [x](float y) { return y == x; });
            };
            CAPTURE(h, j);
            const bool outside = j < 100 || j >= 590, behind = j >= 520;
            for (const tensor<float>* t : {&g.dk, &g.dv})
                REQUIRE((outside ? all_are(*t, -7.f) : behind ? all_are(*t, 0.f) : !all_are(*t, 0.f)));
        }
}
