// SPDX-License-Identifier: MIT
// A policy alone is a definition, for every verb that takes one; and what is a policy.
#include "tensors.hpp"

#include <heed/backward.hpp>
#include <heed/observe.hpp>

#include <catch2/catch.hpp>

using namespace test;

namespace {

/// A normalizer and a mask that nothing may inherit from.
struct uniform final {
    static constexpr auto shift = heed::shift::none;
    template <class Score>
    auto terms(Score) const
    {
        return heed::ratio{1.0, 1.0};
    }
};
struct odd_keys final {
    bool attends(const heed::query_place&, std::int64_t key) const { return key % 2 == 1; }
};

static_assert(heed::is_normalizer_v<uniform> && !heed::is_mask_v<uniform>);
static_assert(heed::is_mask_v<odd_keys> && !heed::is_normalizer_v<odd_keys>);
static_assert(!heed::is_normalizer_v<int> && !heed::is_normalizer_v<heed::causal>);

const heed::extents size{1, 2, 5, 8};
const tensor<float> q = normal<float>(size, 1), k = normal<float>(size, 2), v = normal<float>(size, 3);

template <class Def>
std::vector<float> attended(const Def& def)
{
    tensor<float> out(size);
    heed::or_throw(heed::attend(def, q.in(), k.in(), v.in(), out.view()));
    return out.data;
}

}  // namespace

TEST_CASE("attend takes a policy alone for a definition")
{
    CHECK(same_bits(attended(heed::softpick{}), attended(heed::attention{heed::softpick{}})));
    CHECK(same_bits(attended(heed::causal{}), attended(heed::attention{heed::causal{}})));
    CHECK(same_bits(attended(heed::softcap{2}), attended(heed::attention{heed::softcap{2}})));
    CHECK(same_bits(attended(uniform{}), attended(heed::attention{uniform{}})));
    CHECK(same_bits(attended(odd_keys{}), attended(heed::attention{odd_keys{}})));
}

TEST_CASE("so do plans, partial results, gradients and observations")
{
    const std::size_t rows = 10, numbers = rows * 8;
    std::vector<float> shift(rows), mass(rows), out(numbers), again(numbers), entropy(rows);
    const auto view = [](std::vector<float>& data) { return heed::bhsd(data.data(), size); };
    const heed::plan plan(heed::softpick{}, q.in(), k.in(), v.in());
    std::vector<char> scratch(plan.workspace_bytes());
    heed::options<float> how;
    how.workspace = {scratch.data(), scratch.size()};
    how.stats = {shift.data(), mass.data(), nullptr};
    heed::or_throw(plan.run(q.in(), k.in(), v.in(), view(out), how));
    CHECK(same_bits(out, attended(heed::softpick{})));

    std::vector<float> partial(numbers), partial_shift(rows), partial_mass(rows);
    const heed::state<float> state{partial_shift.data(), partial_mass.data(), partial.data(), size};
    const heed::attention def{heed::softpick{}};
    heed::or_throw(heed::clear(def, state));
    heed::or_throw(heed::attend_partial(heed::softpick{}, q.in(), k.in(), v.in(), state));
    heed::or_throw(heed::finish(def, state, view(again)));
    CHECK(same_bits(out, again));

    std::vector<float> dq(numbers), dq_again(numbers), entropy_again(rows);
    heed::gradients<float> to, to_again;
    to.dq = view(dq);
    to_again.dq = view(dq_again);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::backward(heed::softpick{}, q.in(), k.in(), v.in(), view(out), stats, v.in(), to));
    heed::or_throw(heed::backward(def, q.in(), k.in(), v.in(), view(out), stats, v.in(), to_again));
    CHECK(same_bits(dq, dq_again));

    heed::observations<float> wanted, wanted_again;
    wanted.entropy = entropy.data();
    wanted_again.entropy = entropy_again.data();
    heed::or_throw(heed::observe(heed::softpick{}, q.in(), k.in(), stats, wanted));
    heed::or_throw(heed::observe(def, q.in(), k.in(), stats, wanted_again));
    CHECK(same_bits(entropy, entropy_again));
}
