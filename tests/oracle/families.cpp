// SPDX-License-Identifier: MIT
// Random families of problems, every normalizer, float and double, against the gate K <= 4; and the grid of every
// normalizer x mask x score map. The largest K of each normalizer is printed.
#include "gate.hpp"
#include "grid.hpp"
#include "samples.hpp"
#include "scoreboard.hpp"

namespace {

using namespace oracle;

template <class T>
void judge_families(scoreboard& board)
{
    for (const std::uint64_t seed : {1u, 2u})
        for_each_family<T>(100 * seed, [&](const std::string& family, const sample<T>& x) {
            test::for_each_normalizer(x.p.q.size.heads, [&](const char* name, const auto& normalizer) {
                if (is_power(normalizer) && !x.powers) return;
                const heed::attention def{normalizer, heed::scale{x.scale}};
                board.note(std::string(name) + " " + name_of<T>(), family, oracle::judged(def, x.p));
            });
        });
}

template <class T>
void judge_grid(scoreboard& board)
{
    const tables<T> of;
    const test::problem<T> p(of.batch, of.heads, 2, of.queries, of.keys, 19, 21, 77, 3);
    const auto judge_all = [&](const std::string& where, const some_maps<T>& maps, const some_mask& mask,
                               const heed::query_offset& offset) {
        test::for_each_normalizer(of.heads, [&](const char* name, const auto& normalizer) {
            const auto def = of_grid(normalizer, maps, mask, offset);
            board.note(std::string(name) + " " + name_of<T>(), where, oracle::judged(def, p));
        });
    };
    for (const auto& [mask_name, mask] : of.masks())
        for (const auto& [map_name, maps] : of.maps()) {
            const std::string where = mask_name + " x " + map_name;
            judge_all(where, maps, mask, of.offset());
            if (map_name == "no map" || map_name == "alibi")
                judge_all(where + ", offsets", maps, mask, heed::query_offset{of.offsets.data(), of.batch});
        }
}

/// Band masks over several key tiles: most tiles are skipped, some are cut.
template <class T>
void judge_bands(scoreboard& board)
{
    const test::problem<T> p(1, 2, 1, 40, 1100, 16, 20, 78, 3);
    const heed::query_offset late{1000};
    using heed::causal, heed::window;
    for (const some_mask& mask : {some_mask(causal{} & window{.left = 7}), some_mask(causal{} & window{.left = 600}),
                                  some_mask(window{.left = 3, .right = 50}), some_mask(causal{})})
        test::for_each_normalizer(2, [&](const char* name, const auto& normalizer) {
            const auto def = of_grid(normalizer, some_maps<T>{}, mask, late);
            board.note(std::string(name) + " " + name_of<T>(), "bands over tiles", oracle::judged(def, p));
        });
}

}  // namespace

TEST_CASE("every random family passes the gate", "[oracle]")
{
    scoreboard board;
    judge_families<float>(board);
    judge_families<double>(board);
    board.print("families");
}

TEST_CASE("every normalizer, mask and score map together pass the gate", "[oracle]")
{
    scoreboard board;
    judge_grid<float>(board);
    judge_grid<double>(board);
    judge_bands<float>(board);
    judge_bands<double>(board);
    board.print("grid");
}

TEST_CASE("the gate sees what fixed tolerances do not", "[oracle]")
{
    const test::problem<float> p(1, 2, 2, 6, 300, 64, 64, 9, 3);
    const heed::attention def{heed::softmax{}};
    const heed::attention skewed{heed::softmax{}, heed::scale{0.125 * (1 + 1e-3)}};
    const oracle::gate gate(def, p.q.in(), p.k.in(), p.v.in());
    CHECK(gate.judge(p.attend(def).in()).k <= 4);

    CHECK(gate.judge(p.attend(skewed).in()).k > 4);  // a scale that is wrong by 0.1 %

    test::problem<float> shorter = p;  // the last key is lost
    shorter.k.data.clear();
    shorter.k.size.tokens = shorter.v.size.tokens = 299;
    shorter.v.data.clear();
    for (std::size_t h = 0; h < 2; ++h)
        for (std::size_t i = 0; i < 299 * 64; ++i) {
            shorter.k.data.push_back(p.k.data[h * 300 * 64 + i]);
            shorter.v.data.push_back(p.v.data[h * 300 * 64 + i]);
        }
    CHECK(gate.judge(shorter.attend(def).in()).k > 4);

    auto broken = p.attend(def);
    broken.data[5] = std::nanf("");
    CHECK(gate.judge(broken.in()).k > 4);
}
