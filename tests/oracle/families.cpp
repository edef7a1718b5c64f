// SPDX-License-Identifier: MIT
// Random families of problems, every normalizer, float and double, against the gate K <= 4; and the grid of every
// normalizer x mask x score map. The largest K of each normalizer is printed.
#include "gate.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <variant>

namespace {

using test::int64;

// --- one type for every mask and one for every score map, so that the grid is no grid of templates ------------------

/// Any mask, with its own classify and mark.
class some_mask {
public:
    template <class Mask, class = std::enable_if_t<!std::is_same_v<Mask, some_mask>>>
    explicit some_mask(Mask mask)
        : attends_([mask](const heed::query_place& at, int64 key) { return mask.attends(at, key); }),
          classify_([mask](const heed::block_place& block) { return heed::classify(mask, block); }),
          mark_([mask](const heed::query_place& at, int64 first, int count, heed::key_bits& bits) {
              heed::mark(mask, at, first, count, bits);
          }),
          check_([mask](const heed::problem& p) { return heed::detail::check_mask(mask, p); })
    {}
    bool attends(const heed::query_place& at, int64 key) const { return attends_(at, key); }
    heed::coverage classify(const heed::block_place& block) const { return classify_(block); }
    void mark(const heed::query_place& at, int64 first, int count, heed::key_bits& bits) const
    {
        mark_(at, first, count, bits);
    }
    heed::status check(const heed::problem& p) const { return check_(p); }

private:
    std::function<bool(const heed::query_place&, int64)> attends_;
    std::function<heed::coverage(const heed::block_place&)> classify_;
    std::function<void(const heed::query_place&, int64, int, heed::key_bits&)> mark_;
    std::function<heed::status(const heed::problem&)> check_;
};

struct farther_is_less {
    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        using E = typename heed::lanes_of<V>::element;
        return s - V(E(0.0625)) * heed::abs(at.keys() - V(static_cast<E>(at.position)));
    }
};

/// Up to two score maps, one after the other. T is the element type of a bias, which is that of the tensors.
template <class T>
struct some_maps {
    using choice = std::variant<std::monostate, heed::softcap, heed::alibi, heed::bias<T>, farther_is_less>;
    choice first, second;

    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return apply(second, apply(first, s, at), at);
    }
    heed::status check(const heed::problem& p) const
    {
        const heed::status s = checked(first, p);
        return s ? checked(second, p) : s;
    }

private:
    template <class V>
    static V apply(const choice& c, V s, const heed::score_place<V>& at)
    {
        return std::visit(
            [&](const auto& map) {
                if constexpr (std::is_same_v<std::decay_t<decltype(map)>, std::monostate>) return s;
                else return map.map(s, at);
            },
            c);
    }
    static heed::status checked(const choice& c, const heed::problem& p)
    {
        return std::visit(
            [&](const auto& map) -> heed::status {
                if constexpr (heed::detail::has_check<std::decay_t<decltype(map)>>::value) return map.check(p);
                else return {};
            },
            c);
    }
};

// --- bookkeeping ----------------------------------------------------------------------------------------------------

struct record {
    double k = 0;
    std::string where = "nowhere";
};

/// The largest K of each normalizer and element type.
std::map<std::string, record>& scoreboard()
{
    static std::map<std::string, record> board;
    return board;
}

template <class T>
const char* name_of()
{
    return std::is_same_v<T, float> ? "float" : "double";
}

void note(const std::string& normalizer, const std::string& family, const oracle::verdict& v)
{
    INFO(normalizer << ", " << family << ": " << v.text());
    CHECK(v.k <= 4);
    record& best = scoreboard()[normalizer];
    if (v.k > best.k) best = {v.k, family};
}

void print_scoreboard(const char* what)
{
    std::cout << what << ": the largest K of each normalizer (gate: 4)\n";
    for (const auto& [normalizer, best] : scoreboard())
        std::cout << "  " << normalizer << ": " << best.k << " (" << best.where << ")\n";
    scoreboard().clear();
}

// --- the families ---------------------------------------------------------------------------------------------------

/// A problem, its scale (0: the default) and the largest power of relu that stays in range.
template <class T>
struct sample {
    test::problem<T> p;
    double scale = 0;
    bool powers = true;  // may scores be squared?
};

struct shape {
    int64 batch = 1, query_heads = 2, kv_heads = 2, queries = 5, keys = 300, key_dim = 64, value_dim = 64;
};

template <class T>
test::problem<T> drawn(const shape& s, std::uint64_t seed, double spread = 1)
{
    return {s.batch, s.query_heads, s.kv_heads, s.queries, s.keys, s.key_dim, s.value_dim, seed, spread};
}

/// Scores of about `score(row of keys)`: q is near one direction, key j near score(j) times it.
template <class T, class F>
sample<T> directed(const shape& s, std::uint64_t seed, F score)
{
    sample<T> x{drawn<T>(s, seed)};
    const auto direction = test::normal<double>({1, 1, 1, s.key_dim}, seed + 3);
    double norm = 0;
    for (const double d : direction.data) norm += d * d;
    const auto fill = [&](test::tensor<T>& t, auto factor) {
        for (std::size_t i = 0; i < t.data.size(); ++i) {
            const auto dim = static_cast<std::size_t>(s.key_dim);
            const auto token = static_cast<int64>(i / dim) % t.size.tokens;
            t.data[i] = static_cast<T>(0.02 * static_cast<double>(t.data[i]) + factor(token) * direction.data[i % dim]);
        }
    };
    fill(x.p.q, [](int64) { return 1.0; });
    fill(x.p.k, [&](int64 j) { return score(j) / norm; });
    x.scale = 1;
    return x;
}

/// Exact scores: one channel holds q = 1 and k = score, the others 0.
template <class T, class F>
sample<T> exact(const shape& s, std::uint64_t seed, F score)
{
    sample<T> x{drawn<T>(s, seed)};
    std::mt19937_64 random(seed + 4);
    const auto dim = static_cast<std::size_t>(s.key_dim);
    for (std::size_t i = 0; i < x.p.q.data.size(); ++i) x.p.q.data[i] = T(i % dim == 0);
    for (std::size_t i = 0; i < x.p.k.data.size(); ++i)
        x.p.k.data[i] = i % dim == 0 ? static_cast<T>(score(random)) : T(0);
    x.scale = 1;
    return x;
}

/// Calls f(name, sample) for every family.
template <class T, class F>
void for_each_family(std::uint64_t seed, F f)
{
    for (const double spread : {1e-4, 1e-2, 1., 8., 64.}) {
        std::ostringstream name;
        name << "scores of spread " << spread;
        f(name.str(), sample<T>{drawn<T>({.queries = 6, .keys = 700, .key_dim = 80, .value_dim = 64}, seed, spread)});
    }
    const shape tiles{.queries = 4, .keys = 1200, .key_dim = 32, .value_dim = 33};
    f("sorted ascending", directed<T>(tiles, seed, [](int64 j) { return 0.05 * static_cast<double>(j) - 30; }));
    f("sorted descending", directed<T>(tiles, seed, [](int64 j) { return 30 - 0.05 * static_cast<double>(j); }));
    f("all negative", directed<T>(tiles, seed, [](int64 j) { return -5 - 0.01 * static_cast<double>(j % 77); }));
    f("very negative", directed<T>(tiles, seed, [](int64 j) { return -150 - static_cast<double>(j % 77); }));
    f("one hot", directed<T>(tiles, seed, [](int64 j) { return j == 777 ? 60. : 0.1 * static_cast<double>(j % 5); }));

    sample<T> ties{drawn<T>({.queries = 5, .keys = 600, .key_dim = 24}, seed, 4)};
    for (std::size_t i = 24 * 3; i < ties.p.k.data.size(); ++i) ties.p.k.data[i] = ties.p.k.data[i % (24 * 3)];
    f("ties", ties);

    sample<T> offset{drawn<T>({.queries = 5, .keys = 600}, seed, 2)};
    for (T& x : offset.p.v.data) x += T(50);
    f("values around 50", offset);

    sample<T> zero{drawn<T>({.queries = 3, .keys = 100}, seed)};
    for (T& x : zero.p.q.data) x = T(0);
    f("every score 0", zero);

    const shape few{.queries = 4, .keys = 530, .key_dim = 8, .value_dim = 17};
    std::uniform_int_distribution<int> top(88, 90), coin(0, 1);
    f("88, 89, 90", exact<T>(few, seed, [&](auto& random) { return top(random); }));
    f("-88, -89, -90", exact<T>(few, seed, [&](auto& random) { return -top(random); }));
    f("88, 89, 90 of both signs",
      exact<T>(few, seed, [&](auto& random) { return coin(random) ? top(random) : -top(random); }));

    std::uniform_real_distribution<double> decades(-30, 30);
    sample<T> huge =
        exact<T>(few, seed, [&](auto& random) { return (coin(random) ? 1 : -1) * std::pow(10., decades(random)); });
    huge.powers = false;
    f("scores up to 1e30", huge);

    for (const int64 keys : {1, 2, 15, 16, 17, 511, 512, 513, 1025})
        f("odd sizes", sample<T>{drawn<T>({.batch = 2,
                                           .query_heads = 1,
                                           .kv_heads = 1,
                                           .queries = 3 + keys % 7,
                                           .keys = keys,
                                           .key_dim = 1 + keys % 71,
                                           .value_dim = 1 + keys % 45},
                                          seed, 3)});
    f("grouped heads",
      sample<T>{drawn<T>({.query_heads = 8, .kv_heads = 2, .queries = 3, .keys = 400, .key_dim = 40}, seed, 2)});
    f("one head of keys", sample<T>{drawn<T>({.query_heads = 6, .kv_heads = 1, .queries = 1, .keys = 1000}, seed, 2)});
    f("one query, many keys",
      sample<T>{drawn<T>({.queries = 1, .keys = 5000, .key_dim = 128, .value_dim = 48}, seed, 2)});
    f("many queries",
      sample<T>{drawn<T>({.query_heads = 1, .kv_heads = 1, .queries = 150, .keys = 150, .key_dim = 32, .value_dim = 32},
                         seed, 2)});
}

constexpr bool is_power(const heed::relu<2>&) { return true; }
template <class N>
constexpr bool is_power(const N&)
{
    return false;
}

template <class T>
void judge_families()
{
    for (const std::uint64_t seed : {1u, 2u})
        for_each_family<T>(100 * seed, [](const std::string& family, const sample<T>& x) {
            test::for_each_normalizer(x.p.q.size.heads, [&](const char* name, const auto& normalizer) {
                if (is_power(normalizer) && !x.powers) return;
                const double scale = x.scale != 0 ? x.scale : heed::attention{}.scale_for(x.p.q.size.dim);
                const heed::attention def{normalizer, heed::scale{scale}};
                note(std::string(name) + " " + name_of<T>(), family, oracle::judged(def, x.p));
            });
        });
}

// --- the grid -------------------------------------------------------------------------------------------------------

/// Tables that masks and score maps refer to.
template <class T>
struct tables {
    static constexpr int64 batch = 2, heads = 4, queries = 37, keys = 61;
    std::array<int64, 4> bounds{0, 20, 20, 50};
    std::array<int64, 2> lengths{61, 23}, offsets{24, -5};
    std::array<float, 4> slopes{0.5f, 0.25f, 0.125f, 0.0625f};
    std::unique_ptr<bool[]> allowed = std::make_unique<bool[]>(static_cast<std::size_t>(batch * queries * keys));
    test::tensor<T> added = test::normal<T>({1, heads, queries, keys}, 5);

    tables()
    {
        std::mt19937_64 random(6);
        for (int64 i = 0; i < batch * queries * keys; ++i)
            allowed[static_cast<std::size_t>(i)] = i / keys % 9 != 4 && random() % 3 != 0;  // some rows are empty
        for (std::size_t i = 0; i < added.data.size(); ++i)
            if (random() % 5 == 0) added.data[i] = -std::numeric_limits<T>::infinity();
    }
    std::vector<std::pair<std::string, some_mask>> masks() const
    {
        using namespace heed;
        const view<const bool> table = bhsd(static_cast<const bool*>(allowed.get()), {batch, 1, queries, keys});
        const auto odd = [](int64 b, int64 h, int64 query, int64 key) { return (b + h + query + key) % 3 != 0; };
        return {{"all_keys", some_mask(all_keys{})},
                {"causal", some_mask(causal{})},
                {"causal top left", some_mask(causal::top_left())},
                {"causal offset -7", some_mask(causal::offset(-7))},
                {"window", some_mask(window{.left = 9, .right = 4})},
                {"causal & window", some_mask(causal{} & window{.left = 5})},
                {"prefix | causal", some_mask(prefix{30} | causal{})},
                {"document & causal", some_mask(document{bounds.data(), 4} & causal{})},
                {"dense_mask", some_mask(dense_mask{table})},
                {"key_lengths", some_mask(key_lengths{lengths.data(), batch})},
                {"attend_where", some_mask(attend_where{odd})},
                {"window | dense_mask & key_lengths",
                 some_mask(window{.left = 2, .right = 2} | (dense_mask{table} & key_lengths{lengths.data(), batch}))}};
    }
    std::vector<std::pair<std::string, some_maps<T>>> maps() const
    {
        const heed::bias bias(added.in());
        const heed::alibi alibi(slopes.data(), heads);
        return {{"no map", {}},
                {"softcap", {heed::softcap{2.5}, {}}},
                {"alibi", {alibi, {}}},
                {"bias", {bias, {}}},
                {"softcap, bias", {heed::softcap{1.5}, bias}},
                {"alibi, bias", {alibi, bias}},
                {"map of one's own", {farther_is_less{}, {}}}};
    }
};

template <class T>
void judge_grid()
{
    const tables<T> of;
    const test::problem<T> p(of.batch, of.heads, 2, of.queries, of.keys, 19, 21, 77, 3);
    const auto judge_all = [&](const std::string& where, const some_maps<T>& maps, const some_mask& mask,
                               const heed::query_offset& offset) {
        test::for_each_normalizer(of.heads, [&](const char* name, const auto& normalizer) {
            const heed::attention def{normalizer, maps, mask, heed::scale{0.3}, offset};
            note(std::string(name) + " " + name_of<T>(), where, oracle::judged(def, p));
        });
    };
    for (const auto& [mask_name, mask] : of.masks())
        for (const auto& [map_name, maps] : of.maps()) {
            const std::string where = mask_name + " x " + map_name;
            judge_all(where, maps, mask, heed::query_offset{of.keys - of.queries});
            if (map_name == "no map" || map_name == "alibi")
                judge_all(where + ", offsets", maps, mask, heed::query_offset{of.offsets.data(), of.batch});
        }
}

/// Band masks over several key tiles: most tiles are skipped, some are cut.
template <class T>
void judge_bands()
{
    const test::problem<T> p(1, 2, 1, 40, 1100, 16, 20, 78, 3);
    const heed::query_offset late{1000};
    using heed::causal, heed::window;
    for (const some_mask& mask : {some_mask(causal{} & window{.left = 7}), some_mask(causal{} & window{.left = 600}),
                                  some_mask(window{.left = 3, .right = 50}), some_mask(causal{})})
        test::for_each_normalizer(2, [&](const char* name, const auto& normalizer) {
            const heed::attention def{normalizer, some_maps<T>{}, mask, heed::scale{0.3}, late};
            note(std::string(name) + " " + name_of<T>(), "bands over tiles", oracle::judged(def, p));
        });
}

}  // namespace

TEST_CASE("every random family passes the gate", "[oracle]")
{
    judge_families<float>();
    judge_families<double>();
    print_scoreboard("families");
}

TEST_CASE("every normalizer, mask and score map together pass the gate", "[oracle]")
{
    judge_grid<float>();
    judge_grid<double>();
    judge_bands<float>();
    judge_bands<double>();
    print_scoreboard("grid");
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
