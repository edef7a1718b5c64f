// SPDX-License-Identifier: MIT
// With integer products, too, a table gives the bits of the mask that it spells.
#include "masks.hpp"

#include <catch2/catch.hpp>

using namespace test;

TEST_CASE("with integer products a table gives the bits of the mask it spells")
{
    constexpr int64 queries = 40, keys = 1100, dim = 64;
    const tensor<float> q = normal<float>({1, 4, queries, dim}, 3);
    std::mt19937_64 random(4);
    tensor<heed::q8_0> k({1, 2, keys, dim}), v({1, 2, keys, dim});
    for (tensor<heed::q8_0>* t : {&k, &v})
        for (heed::q8_0& block : t->data) {
            block.d = heed::f16(0.01f);
            for (auto& x : block.q) x = static_cast<std::int8_t>(static_cast<int>(random() % 255) - 127);
        }
    const auto attend = [&](const auto& def, int64 first) {
        tensor<float> out({1, 4, queries - first, dim});
        heed::or_throw(
            heed::attend(def, tokens(q.in(), first, queries - first), heed::dense_kv{k.in(), v.in()}, out.view()));
        return out.data;
    };
    for (const int64 first : {int64{0}, queries - 1}) {
        const table<heed::f16> t({1, 1, queries - first, keys}, keys, [&](int64, int64, int64 i, int64 j) {
            return entry<heed::f16>(j <= keys - queries + first + i);
        });
        const auto want = attend(heed::attention{heed::compute<std::int8_t>{}, heed::causal{}}, first);
        for (const bool known : {true, false})
            REQUIRE(same_bits(attend(heed::attention{heed::compute<std::int8_t>{}, t.mask(known)}, first), want));
    }
}
