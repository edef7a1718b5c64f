// SPDX-License-Identifier: MIT
// Not a byte outside the described extents is read or written by backward: buffers between pages that may not be
// touched, poison in every gap and in the workspace, and the bits of the same problem in ordinary memory.
#include "gradients.hpp"
#include "guarded.hpp"

#include <catch2/catch.hpp>

using namespace test;

namespace {

constexpr int64 heads = 2;  // of queries; they share one kv head

/// An input or a gradient in guarded memory, `gap` elements between its rows.
template <class T>
struct guarded_tensor {
    guarded memory;
    heed::view<T> view;
    int64 elements = 0, gap = 0;

    explicit guarded_tensor(std::size_t bytes) : memory(bytes) {}

    void place(heed::extents size, int64 between, int offset)
    {
        gap = between;
        const int64 step = size.dim + gap, rows = size.batch * size.heads * size.tokens;
        elements = rows == 0 ? 0 : rows * step - gap;
        view = heed::strided(memory.template place<T>(elements, offset), size, {0, size.tokens * step, step});
    }
    void place(const tensor<T>& from, int64 between, int offset)
    {
        place(from.size, between, offset);
        for (int64 h = 0; h < from.size.heads; ++h)
            for (int64 i = 0; i < from.size.tokens; ++i)
                std::copy_n(from.in().row(0, h, i), from.size.dim, view.row(0, h, i));
    }
    /// Whether it holds these bits, and poison everywhere else.
    bool holds(const tensor<T>& expected) const
    {
        for (int64 row = 0; row < view.size.heads * view.size.tokens; ++row) {
            const int64 step = view.size.dim + gap;
            const T* here = view.data + row * step;
            if (std::memcmp(here, expected.data.data() + row * view.size.dim,
                            static_cast<std::size_t>(view.size.dim) * sizeof(T)) != 0)
                return false;
            const auto* between = reinterpret_cast<const unsigned char*>(here + view.size.dim);
            for (std::size_t i = 0; row * step + step < elements && i < static_cast<std::size_t>(gap) * sizeof(T); ++i)
                if (between[i] != 0xff) return false;
        }
        return memory.untouched_around(view.data, elements);
    }
};

template <class T>
struct guarded_backward {
    guarded_tensor<T> q{1 << 16}, k{1 << 18}, v{1 << 18}, out{1 << 16}, dout{1 << 16};
    guarded_tensor<T> dq{1 << 16}, dk{1 << 18}, dv{1 << 18}, dbias{1 << 17};
    guarded shift{4096}, mass{4096}, dlog_offset{4096}, dslopes{4096}, workspace{1 << 22};

    template <class Def>
    void check(const Def& def, const gradient_problem<T>& p, int64 gap, int offset)
    {
        const auto f = p.forward(def);
        const auto expected = p.backward(def, f);
        q.place(p.q, gap, offset), k.place(p.k, gap, offset), v.place(p.v, gap, offset);
        out.place(f.out, gap, offset), dout.place(p.dout, gap, offset);
        dq.place(p.q.size, gap, offset), dk.place(p.k.size, gap, offset), dv.place(p.v.size, gap, offset);
        const heed::row_statistics<T> stats{shift.place(f.shift, offset), mass.place(f.mass, offset), nullptr};
        heed::gradients<T> to{dq.view, dk.view, dv.view, nullptr, {}, nullptr};
        if (!expected.dlog_offset.empty()) to.dlog_offset = dlog_offset.template place<T>(heads, offset);
        if (!expected.dslopes.empty()) to.dslopes = dslopes.template place<T>(heads, offset);
        if (!expected.dbias.data.empty()) {
            dbias.place(expected.dbias.size, gap, offset);
            to.dbias = dbias.view;
        }
        using in = heed::view<const T>;
        const heed::backward_plan plan(def, in(q.view), in(k.view), in(v.view));
        heed::or_throw(plan.status());
        const auto bytes = static_cast<int64>(plan.workspace_bytes());
        auto* const scratch = workspace.template place<unsigned char>(bytes, offset);
        heed::options<T> how;
        how.workspace = {scratch, plan.workspace_bytes()};
        heed::or_throw(plan.run(in(q.view), in(k.view), in(v.view), in(out.view), stats, in(dout.view), to, how));

        REQUIRE(dq.holds(expected.dq));
        REQUIRE(dk.holds(expected.dk));
        REQUIRE(dv.holds(expected.dv));
        if (to.dbias.data) REQUIRE(dbias.holds(expected.dbias));
        const auto same = [&](const guarded& memory, const T* got, const std::vector<T>& numbers) {
            return !got || (std::memcmp(got, numbers.data(), numbers.size() * sizeof(T)) == 0 &&
                            memory.untouched_around(got, heads));
        };
        REQUIRE(same(dlog_offset, to.dlog_offset, expected.dlog_offset));
        REQUIRE(same(dslopes, to.dslopes, expected.dslopes));
        REQUIRE(workspace.untouched_around(scratch, bytes));
        REQUIRE(q.holds(p.q));
        REQUIRE(k.holds(p.k));
        REQUIRE(v.holds(p.v));
        REQUIRE(out.holds(f.out));
        REQUIRE(dout.holds(p.dout));
        REQUIRE(shift.untouched_around(static_cast<T*>(stats.shift), static_cast<int64>(f.shift.size())));
        REQUIRE(mass.untouched_around(static_cast<T*>(stats.mass), static_cast<int64>(f.mass.size())));
    }
};

/// Every D in 1..132 with S from 0 to beyond a tile of keys. Query counts, masks, score maps, Dv, gaps and placements
/// (flush with the page behind; 0, 1 and 3 elements after the page before) rotate, at periods without common factor.
template <class T>
void sweep(int64 step_of_keys)
{
    guarded_backward<T> call;
    const float slopes[heads] = {0.5f, 0.25f};
    constexpr int64 queries[] = {1, 3, 7, 20, 2};
    constexpr int offsets[] = {0, 1, 3};
    int64 turn = 0;
    for (int64 dim = 1; dim <= 132; ++dim)
        for (int64 keys = dim % step_of_keys; keys <= 230; keys += step_of_keys, ++turn) {
            const int64 value_dim = keys % 7 == 0 ? (dim * 7 + keys) % 132 + 1 : dim;
            const gradient_problem<T> p(problem<T>(1, heads, 1, queries[turn % 5], keys, dim, value_dim));
            const tensor<T> added = normal<T>({1, 1, queries[turn % 5], std::max<int64>(keys, 1)}, 7);
            for (const int offset : {-1, offsets[turn % 3]}) {
                const int64 gap = turn % 11 % 4;
                CAPTURE(dim, keys, value_dim, offset, gap);
                if (turn % 3 == 0) call.check(heed::attention{heed::softpick{1e-2}}, p, gap, offset);
                else if (turn % 3 == 1 || keys == 0)
                    call.check(heed::attention{heed::softmax{}, heed::causal{}}, p, gap, offset);
                else
                    call.check(heed::attention{heed::softmax1{}, heed::alibi{slopes, heads}, heed::bias{added.in()},
                                               heed::window{.left = 90, .right = 40}},
                               p, gap, offset);
            }
        }
}

}  // namespace

TEST_CASE("backward touches nothing outside the tensors and the workspace: float, D 1..132, every eleventh S",
          "[exhaustive]")
{
    sweep<float>(11);
}
TEST_CASE("backward touches nothing outside the tensors and the workspace: double, every 29th S", "[exhaustive]")
{
    sweep<double>(29);
}
