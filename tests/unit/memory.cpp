// SPDX-License-Identifier: MIT
// Not a byte outside the described extents is read or written: buffers between pages that may not be touched, poison in
// every gap, and the bits of the same problem in ordinary memory.
#include "guarded.hpp"

#include <catch2/catch.hpp>

using namespace test;

namespace {

template <class T>
struct guarded_call {
    guarded q{1 << 16}, k{1 << 19}, v{1 << 19}, out{1 << 17}, workspace{1 << 21}, shift{4096}, mass{4096}, lse{4096};

    /// Runs a problem of 2 query heads and one kv head in guarded memory. `gap` elements lie between the rows of out.
    template <class Def>
    void check(const Def& def, int64 queries, int64 keys, int64 key_dim, int64 value_dim, int64 gap, int offset,
               const std::vector<T>& numbers)
    {
        const auto some = [&](int64 n, std::size_t from) {
            const auto first = numbers.begin() + static_cast<std::ptrdiff_t>(from);
            return std::vector<T>(first, first + n);
        };
        const heed::extents rows{1, 2, queries, key_dim}, key_rows{1, 1, keys, key_dim},
            value_rows{1, 1, keys, value_dim};
        const std::vector<T> q_data = some(2 * queries * key_dim, 1), k_data = some(keys * key_dim, 3),
                             v_data = some(keys * value_dim, 7);
        const heed::extents size{1, 2, queries, value_dim};
        std::vector<T> expected(static_cast<std::size_t>(2 * queries * value_dim));
        heed::or_throw(heed::attend(def, heed::bhsd(q_data.data(), rows), heed::bhsd(k_data.data(), key_rows),
                                    heed::bhsd(v_data.data(), value_rows), heed::bhsd(expected.data(), size)));

        const auto gq = heed::bhsd<const T>(q.place(q_data, offset), rows);
        const auto gk = heed::bhsd<const T>(k.place(k_data, offset), key_rows);
        const auto gv = heed::bhsd<const T>(v.place(v_data, offset), value_rows);
        const int64 step = value_dim + gap, out_elements = 2 * queries * step - gap;
        T* const to = out.template place<T>(out_elements, offset);
        const auto go = heed::strided(to, size, {0, queries * step, step});
        heed::options<T> how;
        how.stats = {shift.template place<T>(2 * queries, offset), mass.template place<T>(2 * queries, offset),
                     lse.template place<T>(2 * queries, offset)};
        const heed::plan plan(def, gq, gk, gv);
        heed::or_throw(plan.status());
        const auto scratch_bytes = static_cast<int64>(plan.workspace_bytes());
        auto* const scratch = workspace.template place<unsigned char>(scratch_bytes, offset);
        how.workspace = {scratch, plan.workspace_bytes()};
        heed::or_throw(plan.run(gq, gk, gv, go, how));

        for (int64 row = 0; row < 2 * queries; ++row) {
            REQUIRE(std::memcmp(to + row * step, expected.data() + row * value_dim,
                                static_cast<std::size_t>(value_dim) * sizeof(T)) == 0);
            const auto* between = reinterpret_cast<const unsigned char*>(to + row * step + value_dim);
            for (std::size_t i = 0; row + 1 < 2 * queries && i < static_cast<std::size_t>(gap) * sizeof(T); ++i)
                REQUIRE(between[i] == 0xff);
        }
        REQUIRE(out.untouched_around(to, out_elements));
        REQUIRE(workspace.untouched_around(scratch, scratch_bytes));
        REQUIRE(shift.untouched_around(static_cast<T*>(how.stats.shift), 2 * queries));
        REQUIRE(mass.untouched_around(static_cast<T*>(how.stats.mass), 2 * queries));
        REQUIRE(lse.untouched_around(static_cast<T*>(how.stats.lse), 2 * queries));
    }
};

template <class T>
std::vector<T> some_numbers()
{
    return normal<T>({1, 1, 1, 40000}, 5).data;
}

/// Every D in 1..132 with every S in 0..130. Query counts (decode and prefill forms), masks, Dv, gaps and placements
/// (flush with the page behind; 0, 1 and 3 elements after the page before) rotate, at periods without common factor.
template <class T>
void sweep(int64 step_of_keys)
{
    guarded_call<T> call;
    const std::vector<T> numbers = some_numbers<T>();
    const heed::attention all{heed::softpick{}};
    const heed::attention causal{heed::softmax{}, heed::causal{}};
    constexpr int64 queries[] = {1, 3, 7, 20, 2};
    constexpr int offsets[] = {0, 1, 3};
    int64 turn = 0;
    for (int64 dim = 1; dim <= 132; ++dim)
        for (int64 keys = dim % step_of_keys; keys <= 130; keys += step_of_keys, ++turn) {
            const int64 value_dim = keys % 7 == 0 ? (dim * 7 + keys) % 132 + 1 : dim;
            for (const int offset : {-1, offsets[turn % 3]}) {
                CAPTURE(dim, keys, value_dim, offset);
                if (turn % 2) call.check(all, queries[turn % 5], keys, dim, value_dim, turn % 11 % 4, offset, numbers);
                else call.check(causal, queries[turn % 5], keys, dim, value_dim, turn % 11 % 4, offset, numbers);
            }
        }
}

}  // namespace

TEST_CASE("nothing outside the tensors, the statistics and the workspace is touched: float, D 1..132 x S 0..130",
          "[exhaustive]")
{
    sweep<float>(1);
}
TEST_CASE("nothing outside the tensors, the statistics and the workspace is touched: double, every seventh S",
          "[exhaustive]")
{
    sweep<double>(7);
}

TEST_CASE("what lies between rows, behind tokens and under a mask never reaches the output")
{
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const int64 queries : {1, 5, 40}) {
        const problem<float> p(2, 4, 2, queries, 700, 19, 21);
        const int64 lengths[] = {300, 650};
        const heed::attention def{heed::softmax{}, heed::causal{} & heed::key_lengths{lengths, 2}};
        const tensor<float> expected = p.attend(def);
        // The same numbers, rows 5 elements further apart, with NaN in between and in every key beyond the lengths.
        const auto spread = [&](const tensor<float>& t, bool masked_too) {
            const int64 step = t.size.dim + 5;
            std::vector<float> wide(static_cast<std::size_t>(t.size.batch * t.size.heads * t.size.tokens * step), nan);
            const heed::view<float> to{
                wide.data(), t.size, {t.size.heads * t.size.tokens * step, t.size.tokens * step, step}};
            for (int64 b = 0; b < t.size.batch; ++b)
                for (int64 h = 0; h < t.size.heads; ++h)
                    for (int64 i = 0; i < t.size.tokens; ++i)
                        if (!masked_too || i < lengths[b])
                            std::copy_n(t.in().row(b, h, i), t.size.dim, to.row(b, h, i));
            return std::pair(std::move(wide), to);
        };
        const auto [q_data, q] = spread(p.q, false);
        const auto [k_data, k] = spread(p.k, true);
        const auto [v_data, v] = spread(p.v, true);
        tensor<float> out(p.out_size());
        heed::or_throw(heed::attend(def, heed::view<const float>(q), heed::view<const float>(k),
                                    heed::view<const float>(v), out.view()));
        REQUIRE(same_bits(out.data, expected.data));
    }
}
