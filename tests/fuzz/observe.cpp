// SPDX-License-Identifier: MIT
// observe, attention_map and key_totals beside plain loops of double, from the statistics that attend leaves.
#include "attend.hpp"

#include <heed/observe.hpp>

namespace fuzz {
namespace {

constexpr double u = unit_of<float>;

/// The weights of a row and what each may differ by, absolutely.
struct weights {
    std::vector<double> p, error;
};
template <class Row>
weights weights_of(const oracle<float>& o, const Row& x)
{
    weights w;
    for (const auto& key : x.keys) {
        const double p = x.den == 0 ? 0 : key.w / x.den;
        double low = o.terms(key.s - 2 * u * key.error, x.m).w, high = o.terms(key.s + 2 * u * key.error, x.m).w;
        if (low > high) std::swap(low, high);
        const double spread = x.den == 0 ? 0 : std::max(high - key.w, key.w - low) / x.den;
        w.p.push_back(p);
        // Statistics are computed once and used again: their roundings count twice.
        w.error.push_back(spread + 2 * u * p * (12 + 2 * (x.den == 0 ? 0 : x.den_error / x.den)) +
                          8 * 0x1p-149 * (1 + (x.den == 0 ? 0 : 1 / x.den)));
    }
    return w;
}

void near(const char* what, double got, double want, double allowed)
{
    require(std::fabs(got - want) <= allowed, std::string(what) + " is " + shown(static_cast<double>(got)) +
                                                  ", expected " + shown(static_cast<double>(want)) + " within " +
                                                  shown(static_cast<double>(allowed)));
}

/// The sums of weights by key, as heed gives them and as rows that are known add up.
struct totals_by_key {
    float* got = nullptr;
    std::vector<double> want, error;
    std::vector<bool> certain;  // of each kv head, whether all of its rows are known

    template <class Def>
    totals_by_key(input& in, const extent& e, const Def& def, const heed::view<const float>& q,
                  const heed::view<const float>& k, const heed::row_statistics<float>& stats, shuffled& executor)
        : want(static_cast<std::size_t>(e.batch * e.kv_heads * e.keys)), error(want.size()),
          certain(static_cast<std::size_t>(e.batch * e.kv_heads), true)
    {
        got = table(in, std::vector<float>(want.size(), -7.f));
        all_memory().keep();
        if (!want.empty() && in.one_in(4)) {
            const auto short_of = static_cast<int64>(want.size()) - in.range(1, static_cast<int64>(want.size()));
            require(!heed::key_totals(def, q, k, stats, heed::number_view<float>(got, short_of)),
                    "key_totals took room for fewer keys");
            require(all_memory().unchanged(), "key_totals refused and wrote");
        }
        const heed::status s = heed::key_totals(def, q, k, stats, got, {.executor = executor});
        require(static_cast<bool>(s), std::string("key_totals refused: ") + s.message());
        require(all_memory().unchanged_but([&](const std::byte* at) {
            return at >= reinterpret_cast<const std::byte*>(got) &&
                   at < reinterpret_cast<const std::byte*>(got + want.size());
        }),
                "key_totals wrote beside its totals");
    }
    void add(std::size_t head, int64 keys, int64 key, double p, double p_error)
    {
        const std::size_t i = head * static_cast<std::size_t>(keys) + static_cast<std::size_t>(key);
        want[i] += p;
        error[i] += p_error;
    }
    void judge(int64 keys) const
    {
        for (std::size_t i = 0; i < want.size(); ++i)
            if (certain[i / static_cast<std::size_t>(keys)])
                near("total of a key", number(got[i]), want[i], error[i] + 4 * u * want[i] + 1e-42);
    }
};

template <class Make>
void observe_case(input& in, normalizer n, Make make)
{
    all_memory().clear();
    const bool hostile = in.one_in(6);
    constexpr int64 rows_of_calls[] = {1, 2, 3, 5, 9, 20, 50};
    const int64 kv_heads = in.range(1, 2);
    const extent e{in.one_in(3) ? in.range(0, 2) : 1, kv_heads * in.range(1, 3), kv_heads,
                   in.one_in(20) ? 0 : in.one_of(rows_of_calls), drawn_keys(in)};
    const int64 dim = drawn_dim(in);
    auto q = placed<float>::drawn(in, {e.batch, e.query_heads, e.queries, dim}, false, false);
    auto k = placed<float>::drawn(in, {e.batch, kv_heads, e.keys, dim}, false, false);
    if (!q.has_memory || !k.has_memory || wide{e.batch} * e.query_heads * e.queries * e.keys * dim > most_work / 2)
        return;
    fill(in, q.v, family::drawn(in), in.one_in(6));
    fill(in, k.v, family::drawn(in), in.one_in(6));
    recipe<float> r = recipe<float>::drawn(in, n, e, dim, false, false);
    const auto def = make(r);
    const heed::view<const float> q_in = q.v, k_in = k.v;

    const int64 lines = e.batch * e.query_heads * e.queries;
    const auto room = [&](auto value) {
        return table(in, std::vector<decltype(value)>(static_cast<std::size_t>(lines), value));
    };
    std::vector<float> value(static_cast<std::size_t>(e.batch * kv_heads * e.keys), 1.f),
        sums(static_cast<std::size_t>(lines));
    heed::row_statistics<float> stats{room(-7.f), room(-7.f), room(-7.f)};
    const heed::extents one_out{e.batch, e.query_heads, e.queries, 1};
    const auto ones = heed::bhsd(static_cast<const float*>(value.data()), {e.batch, kv_heads, e.keys, 1});
    const heed::status forward =
        heed::attend(def, q_in, k_in, ones, heed::bhsd(sums.data(), one_out), {.stats = stats});
    require(static_cast<bool>(forward), std::string("attend refused: ") + forward.message());

    const problem p = dense_problem(q.v, k.v, ones);
    heed::observations<float> to;
    if (!in.one_in(4)) to.max_score = room(-7.f);
    if (!in.one_in(4)) to.lse = room(-7.f);
    if (!in.one_in(4)) to.entropy = room(-7.f);
    if (!in.one_in(4)) to.total = room(-7.f);
    if (!in.one_in(4)) to.first_token = room(-7.f);
    if (!in.one_in(4)) to.mean_distance = room(-7.f);
    if (!in.one_in(4)) to.attended = room(int64{-7});
    if (!in.one_in(4)) to.zeros = room(int64{-7});
    if (!in.one_in(4)) to.small = room(int64{-7});
    constexpr float limits[] = {1e-5f, 0, 0.1f, 0.5f};
    to.small_weight = in.one_of(limits);
    if (in.one_in(2)) {
        to.top_k = in.range(0, 5);
        to.top_keys = table(in, std::vector<int64>(static_cast<std::size_t>(lines * to.top_k), -7));
        to.top_weights = table(in, std::vector<float>(static_cast<std::size_t>(lines * to.top_k), -7.f));
    }
    bool valid = true;
    heed::row_statistics<float> given = stats;
    if (hostile) {
        switch (in.range(0, 3)) {
        case 0:
            to.top_k = -1;
            valid = false;
            break;
        case 1:
            to.small_weight = in.one_in(2) ? -1.f : std::nanf("");
            valid = false;
            break;
        case 2:
            if (lines > 0) (in.one_in(2) ? given.shift : given.mass) = nullptr, valid = false;
            break;
        case 3:
            if (to.top_k > 0) to.top_weights = nullptr, valid = false;
            break;
        }
    }
    constexpr int some_workers[] = {1, 2, 3, 8};
    shuffled executor{&in, in.one_of(some_workers)};
    all_memory().keep();
    const heed::status s = heed::observe(def, q_in, k_in, given, to, {.executor = executor});
    if (!s) {
        require(all_memory().unchanged(), std::string("observe refused and wrote: ") + s.message());
        require(!valid, std::string("observe refused: ") + s.message());
        return;
    }
    require(valid, "observe took what is not sound");
    std::vector<std::pair<const void*, const void*>> own;
    const auto owns = [&](const auto& numbers, int64 count) {
        if (numbers) own.emplace_back(numbers, numbers + count);
    };
    for (const float* f : {to.max_score, to.lse, to.entropy, to.total, to.first_token, to.mean_distance})
        owns(f, lines);
    for (const int64* f : {to.attended, to.zeros, to.small}) owns(f, lines);
    owns(to.top_keys, lines * to.top_k);
    owns(to.top_weights, lines * to.top_k);
    require(all_memory().unchanged_but([&](const std::byte* at) {
        for (const auto& [from, end] : own)
            if (at >= from && at < end) return true;
        return false;
    }),
            "observe wrote beside what is wanted");

    const bool whole_map = lines > 0 && in.one_in(2);
    const heed::map_part part{lines > 0 ? in.range(0, e.batch - 1) : 0, lines > 0 ? in.range(0, e.query_heads - 1) : 0,
                              0, 0};
    heed::map_part of = part;
    std::vector<float> map;
    if (whole_map) {
        of.first_row = in.range(0, e.queries);
        of.rows = in.range(0, e.queries - of.first_row);
        float* const to_map = table(in, std::vector<float>(static_cast<std::size_t>(of.rows * e.keys), -7.f));
        const heed::status m = heed::attention_map(def, q_in, k_in, stats, of, to_map, {.executor = executor});
        require(static_cast<bool>(m), std::string("attention_map refused: ") + m.message());
        map.assign(to_map, to_map + of.rows * e.keys);
        heed::map_part wrong = of;
        int64* const fields[] = {&wrong.batch, &wrong.head, &wrong.first_row, &wrong.rows};
        *fields[in.range(0, 3)] = in.hostile();
        const bool inside = wrong.batch >= 0 && wrong.batch < e.batch && wrong.head >= 0 &&
                            wrong.head < e.query_heads && wrong.first_row >= 0 && wrong.rows >= 0 &&
                            wide{wrong.first_row} + wrong.rows <= e.queries;
        if (!inside)
            require(!heed::attention_map(def, q_in, k_in, stats, wrong, to_map),
                    "attention_map took rows that are not there");
    }

    totals_by_key totals(in, e, def, q_in, k_in, stats, executor);
    const oracle<float> o(r, p);
    int64 line = 0;
    for (int64 b = 0; b < e.batch; ++b)
        for (int64 h = 0; h < e.query_heads; ++h)
            for (int64 i = 0; i < e.queries; ++i, ++line) {
                const auto x = o.weigh(b, h, i);
                const auto kv_head = static_cast<std::size_t>(b * e.kv_heads + h / (e.query_heads / e.kv_heads));
                if (x.what != row<double>::certain || (x.den != 0 && x.den < 1e-25) ||
                    (x.den == 0 && !x.keys.empty())) {
                    totals.certain[kv_head] = false;
                    continue;
                }
                const weights w = weights_of(o, x);
                for (std::size_t j = 0; j < w.p.size(); ++j)
                    totals.add(kv_head, e.keys, x.keys[j].key, w.p[j], w.error[j]);
                const auto count = static_cast<int64>(x.keys.size());
                double total = 0, total_error = 0, entropy = 0, entropy_error = 0, distance = 0, distance_error = 0,
                       reach = 0, top = -std::numeric_limits<double>::infinity(), top_error = 0, first = 0,
                       first_error = 0;
                for (std::size_t j = 0; j < w.p.size(); ++j) {
                    const auto& key = x.keys[j];
                    const double d = static_cast<double>(x.position) - static_cast<double>(key.key), pj = w.p[j],
                                 ej = w.error[j];
                    total += pj, total_error += ej;
                    distance += pj * d,
                        distance_error += ej * std::fabs(d) + u * pj * std::fabs(d) * static_cast<double>(count + 4);
                    reach = std::max(reach, std::fabs(d));
                    if (pj > 0) entropy -= pj * std::log(pj);
                    entropy_error += ej * (2 + std::fabs(std::log(std::max(pj, 1e-45)))) +
                                     4 * u * pj * (1 + std::fabs(std::log(std::max(pj, 1e-45))));
                    if (key.s > top) top = key.s;
                    top_error = std::max(top_error, 2 * u * key.error);
                    if (key.key == 0) first = pj, first_error = ej;
                }
                total_error += u * total * static_cast<double>(count + 4);
                entropy_error += u * static_cast<double>(count + 4) * std::fabs(entropy) + 1e-40;
                if (to.attended)
                    require(to.attended[line] == count,
                            "attended is " + std::to_string(to.attended[line]) + ", expected " + std::to_string(count));
                if (to.max_score) {
                    if (count == 0)
                        require(number(to.max_score[line]) == -std::numeric_limits<double>::infinity(),
                                "max_score of an empty row");
                    else near("max_score", number(to.max_score[line]), top, top_error + u * std::fabs(top) + 1e-44);
                }
                if (to.lse) require(std::memcmp(&to.lse[line], &stats.lse[line], 4) == 0, "lse is not attend's");
                if (to.total) near("total", number(to.total[line]), total, 2 * total_error + 1e-44);
                if (to.first_token) near("first_token", number(to.first_token[line]), first, first_error + 1e-44);
                if (to.entropy) near("entropy", number(to.entropy[line]), entropy, 2 * entropy_error + 2 * total_error);
                if (to.mean_distance) {
                    const double got = number(to.mean_distance[line]);
                    if (count == 0 || x.weightless)
                        require(got != got,
                                "mean_distance of a row without a weight is " + shown(static_cast<double>(got)));
                    else if (total > 1e-20 && total > 100 * total_error)
                        near("mean_distance", got, distance / total,
                             4 * (distance_error + total_error * std::fabs(distance / total)) / total + 8 * u * reach);
                }
                int64 surely_zero = 0, maybe_zero = 0, surely_small = 0, maybe_small = 0;
                for (std::size_t j = 0; j < w.p.size(); ++j) {
                    const double high = o.terms(x.keys[j].s + 2 * u * x.keys[j].error, x.m).w;
                    surely_zero += high == 0;
                    maybe_zero += w.p[j] - w.error[j] < 1e-37;
                    const double limit = number(to.small_weight);
                    surely_small += w.p[j] + w.error[j] < limit || high == 0;
                    maybe_small += w.p[j] - w.error[j] <= limit || w.p[j] < 1e-37;
                }
                if (to.zeros)
                    require(to.zeros[line] >= surely_zero && to.zeros[line] <= maybe_zero,
                            "zeros is " + std::to_string(to.zeros[line]) + ", expected " + std::to_string(surely_zero) +
                                " to " + std::to_string(maybe_zero));
                if (to.small)
                    require(to.small[line] >= surely_small && to.small[line] <= maybe_small,
                            "small is " + std::to_string(to.small[line]) + ", expected " +
                                std::to_string(surely_small) + " to " + std::to_string(maybe_small));
                std::vector<double> sorted = w.p;
                std::sort(sorted.rbegin(), sorted.rend());
                const double worst = w.error.empty() ? 0 : *std::max_element(w.error.begin(), w.error.end());
                for (int64 t = 0; t < to.top_k; ++t) {
                    const int64 key = to.top_keys[line * to.top_k + t];
                    const double got = number(to.top_weights[line * to.top_k + t]),
                                 want = t < count ? sorted[static_cast<std::size_t>(t)] : 0;
                    near("top weight", got, want, worst + 1e-44);
                    if (t > 0) require(got <= number(to.top_weights[line * to.top_k + t - 1]), "top weights rise");
                    if (key == -1) {
                        require(got == 0 && want <= worst + 1e-37, "no key beside a weight");
                        continue;
                    }
                    const auto found =
                        std::find_if(x.keys.begin(), x.keys.end(), [&](const auto& y) { return y.key == key; });
                    require(found != x.keys.end(), "a top key that is not attended");
                    near("top key's weight", got, w.p[static_cast<std::size_t>(found - x.keys.begin())],
                         w.error[static_cast<std::size_t>(found - x.keys.begin())] + 1e-44);
                    for (int64 before = 0; before < t; ++before)
                        require(to.top_keys[line * to.top_k + before] != key, "a top key twice");
                }
                if (whole_map && b == of.batch && h == of.head && i >= of.first_row && i < of.first_row + of.rows) {
                    std::vector<double> want(static_cast<std::size_t>(e.keys), 0), may(want);
                    for (std::size_t j = 0; j < w.p.size(); ++j)
                        want[static_cast<std::size_t>(x.keys[j].key)] = w.p[j],
                        may[static_cast<std::size_t>(x.keys[j].key)] = w.error[j] + 1e-44;
                    for (int64 j = 0; j < e.keys; ++j)
                        near("map", number(map[static_cast<std::size_t>((i - of.first_row) * e.keys + j)]),
                             want[static_cast<std::size_t>(j)], may[static_cast<std::size_t>(j)]);
                }
            }
    totals.judge(e.keys);
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    switch (in.range(0, 3)) {
    case 0:
        observe_case(in, normalizer::sink,
                     [](const auto& r) { return whole_definition(r, heed::softmax_sink(r.logits, r.logit_count)); });
        break;
    case 1:
        observe_case(in, normalizer::softpick,
                     [](const auto& r) { return whole_definition(r, heed::softpick{r.parameter}); });
        break;
    case 2:
        observe_case(in, normalizer::sigmoid,
                     [](const auto& r) { return whole_definition(r, heed::sigmoid{r.parameter}); });
        break;
    case 3:
        observe_case(in, normalizer::relu2, [](const auto& r) { return whole_definition(r, heed::relu<2>{}); });
        break;
    }
    return 0;
}
