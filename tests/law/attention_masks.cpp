// SPDX-License-Identifier: MIT
// A table gives the bits of the mask that it spells, and a row's bits are its own, whatever the table adds elsewhere.
#include "masks.hpp"
#include "two_threads.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace test;

namespace {

/// Any mask of spans: one type for all that tables are compared with.
struct spelled {
    std::function<heed::key_span(const heed::query_place&)> keys;

    bool attends(const heed::query_place& at, int64 key) const
    {
        const heed::key_span s = keys(at);
        return s.begin <= key && key < s.end;
    }
};

constexpr int64 heads = 4, kv_heads = 2, keys = 1300, most = 1290;  // nobody attends the last keys

struct named_span {
    std::string name;
    heed::key_span (*span)(int64 position);
};
const named_span spans[] = {
    {"causal",
     [](int64 i) {
         return heed::key_span{0, std::min(i + 1, most)};
     }},
    {"window",
     [](int64 i) {
         return heed::key_span{std::max<int64>(i - 299, 0), std::min(i + 1, most)};
     }},
    {"document",
     [](int64 i) {
         return i < 1250 ? heed::key_span{0, 1250} : heed::key_span{1250, most};
     }},
    {"none or all",
     [](int64 i) {
         return heed::key_span{0, i % 7 == 0 ? 0 : most};
     }},
};

/// The first and last query rows of a call, of which the mask stays where it is in the sequence.
template <class Def>
tensor<float> rows_of(const problem<float>& p, const Def& def, int64 first, int64 count)
{
    tensor<float> out({1, heads, count, p.v.size.dim});
    heed::or_throw(heed::attend(def, tokens(p.q.in(), first, count), p.k.in(), p.v.in(), out.view()));
    return out;
}

template <class E, class Normalizer>
void gives_the_bits(const problem<float>& p, const Normalizer& normalizer)
{
    const int64 queries = p.q.size.tokens;
    for (const named_span& of : spans)
        for (const int64 first : {int64{0}, queries - 1, queries - 30}) {
            const int64 count = queries - first, position_0 = keys - count;
            CAPTURE(of.name, first);
            spelled policy;
            policy.keys = [&](const heed::query_place& at) { return of.span(at.position); };
            const table<E> t({1, 1, count, keys}, keys + 5, [&](int64, int64, int64 i, int64 j) {
                const heed::key_span s = of.span(position_0 + i);
                return entry<E>(s.begin <= j && j < s.end);
            });
            const tensor<float> want = rows_of(p, heed::attention{normalizer, policy}, first, count);
            for (const bool with_summary : {true, false}) {
                const heed::attention def{normalizer, t.mask(with_summary)};
                REQUIRE(same_bits(rows_of(p, def, first, count).data, want.data));
            }
        }
}

problem<float> poisoned(int64 queries)
{
    problem<float> p(1, heads, kv_heads, queries, keys, 24, 40, 5, 2);
    for (int64 h = 0; h < kv_heads; ++h)
        for (int64 j = most; j < keys; ++j) {
            std::fill_n(p.k.view().row(0, h, j), 24, NAN);
            std::fill_n(p.v.view().row(0, h, j), 40, j % 2 ? NAN : INFINITY);
        }
    std::fill_n(p.q.view().row(0, 1, 7), 24, 0.f);  // scores of +0 and -0
    return p;
}

}  // namespace

TEST_CASE("a table of 0 and -inf, or of bools, gives the bits of the mask it spells, in prefill, chunks and decode",
          "[tables]")
{
    const problem<float> p = poisoned(190);
    SECTION("f16") { gives_the_bits<heed::f16>(p, heed::softmax{}); }
    SECTION("float") { gives_the_bits<float>(p, heed::softmax{}); }
    SECTION("bool") { gives_the_bits<bool>(p, heed::softmax{}); }
    SECTION("bf16, softpick") { gives_the_bits<heed::bf16>(p, heed::softpick{1e-3}); }
}

TEST_CASE("a row's bits do not depend on what the table adds to its neighbours or to other keys", "[tables]")
{
    const problem<float> p = poisoned(190);
    const auto plain = [](int64, int64, int64 i, int64 j) { return entry<heed::f16>(j < std::min(i + 1111, most)); };
    const table<heed::f16> zeros({1, 1, 190, keys}, keys, plain);
    table<heed::f16> some = zeros;
    for (const int64 i : {3, 60, 189}) *some.at(0, 0, i, 600 + i) = heed::f16(-1.5f);
    *some.at(0, 0, 100, 2) = heed::f16(-0.f);  // adds nothing
    some.summarise();
    for (const bool with_summary : {true, false}) {
        const tensor<float> a = p.attend(heed::attention{heed::softpick{1e-3}, zeros.mask()}),
                            b = p.attend(heed::attention{heed::softpick{1e-3}, some.mask(with_summary)});
        for (int64 h = 0; h < heads; ++h)
            for (int64 i = 0; i < 190; ++i) {
                const bool same = std::memcmp(a.in().row(0, h, i), b.in().row(0, h, i), 40 * sizeof(float)) == 0;
                CAPTURE(h, i);
                REQUIRE(same != (i == 3 || i == 60 || i == 189));
            }
    }
}

TEST_CASE("a table of numbers gives the bits of a bias of the same numbers, where none of them is 0", "[tables]")
{
    const problem<float> p = poisoned(70);
    const table<float> t({1, heads, 70, keys}, keys, [](int64, int64 h, int64 i, int64 j) {
        return j >= most || (i + j) % 11 == 0 ? -INFINITY : static_cast<float>(j - i) / 64 - static_cast<float>(h) - 2;
    });
    spelled below;
    below.keys = [](const heed::query_place&) { return heed::key_span{0, most}; };
    const heed::attention as_bias{heed::softcap{20}, heed::bias{t.view()}, below};
    for (const bool with_summary : {true, false})
        REQUIRE(
            same_bits(p.attend(heed::attention{heed::softcap{20}, t.mask(with_summary)}).data, p.attend(as_bias).data));
}

TEST_CASE("two threads summarise a table as one does", "[tables]")
{
    const table<bool> t({2, 3, 301, 2000}, 2007,
                        [](int64 b, int64 h, int64 i, int64 j) { return (b + h + i) % 3 == 0 || j % (i + 2) < 2; });
    std::vector<std::byte> memory(t.memory.size() + 1, std::byte{0x5a});
    heed::mask_summary summary;
    two_threads executor;
    REQUIRE(heed::summarise(t.view(), {memory.data(), memory.size() - 1}, summary, executor));
    REQUIRE(std::memcmp(memory.data(), t.memory.data(), 2 * 3 * 301 * 4 * 6) == 0);
    REQUIRE(memory.back() == std::byte{0x5a});
}
