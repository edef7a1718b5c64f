// SPDX-License-Identifier: MIT
// Calls without a workspace of their caller's say so where there is no memory, and write nothing.
#include "interposed.hpp"
#include "tensors.hpp"

#include <heed/observe.hpp>

#include <catch2/catch.hpp>

#include <string>

using namespace test;

#if HEED_INTERPOSES && defined(__GLIBC__)

namespace {

/// The outcome of a call of f while every allocation fails.
template <class F>
heed::status without_memory(F f)
{
    faults::no_memory = true;
    const heed::status s = f();
    faults::no_memory = false;
    return s;
}

}  // namespace

TEST_CASE("without memory for a workspace every verb answers out_of_memory and leaves its outputs alone")
{
    const problem<float> p(1, 4, 2, 30, 700, 24, 20);
    const heed::attention def{heed::softmax{}, heed::causal{}};
    const auto q = p.q.in(), k = p.k.in(), v = p.v.in();
    const std::size_t rows = 4 * 30;
    std::vector<float> shift(rows), mass(rows);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    tensor<float> out(p.out_size());
    heed::or_throw(heed::attend(def, q, k, v, out.view(), {.stats = stats}));
    const tensor<float> dout = normal<float>(p.out_size(), 5);

    std::vector<float> written;
    const auto check = [&](const std::string& verb, const heed::status& s) {
        INFO(verb << ": " << s.message());
        CHECK(s.code() == heed::errc::out_of_memory);
        CHECK(std::string(s.message()).rfind(verb + ": no memory for a workspace of ", 0) == 0);
        CHECK(written == std::vector<float>(written.size(), -7));
    };
    written.assign(out.data.size(), -7);
    check("attend", without_memory([&] { return heed::attend(def, q, k, v, heed::bhsd(written.data(), out.size)); }));
    written.assign(rows * 22, -7);
    const heed::state<float> state{written.data(), written.data() + rows, written.data() + 2 * rows, p.out_size()};
    check("attend_partial", without_memory([&] { return heed::attend_partial(def, q, k, v, state); }));
    written.assign(p.q.data.size(), -7);
    heed::gradients<float> to;
    to.dq = heed::bhsd(written.data(), p.q.size);
    check("backward", without_memory([&] { return heed::backward(def, q, k, v, out.in(), stats, dout.in(), to); }));
    written.assign(rows, -7);
    heed::observations<float> wanted;
    wanted.entropy = written.data();
    check("observe", without_memory([&] { return heed::observe(def, q, k, stats, wanted); }));
    written.assign(30 * 700, -7);
    check("attention_map", without_memory([&] {
              return heed::attention_map(def, q, k, stats, {0, 1, 0, 30}, written.data());
          }));
}

#endif
