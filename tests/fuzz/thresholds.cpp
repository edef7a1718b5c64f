// SPDX-License-Identifier: MIT
// Normalizers with a threshold: parts of the keys, cut and merged in any way, have the thresholds of one call, bit for
// bit, or say that they lack places; outputs of slopes are those of rows alone; gradients are the reference's. States
// stand between pages that may not be touched.
#include "memory.hpp"
#include "numbers.hpp"

#include <heed/backward.hpp>
#include <heed/reference_backward.hpp>
#include <heed/threshold_state.hpp>

#include <algorithm>

namespace fuzz {
namespace {

using thresholds = std::vector<heed::row_threshold<float>>;

/// Heads of a call without a batch; every query is at the end of the keys.
struct sizes {
    int64 heads, kv_heads, queries, keys, dim;

    static sizes drawn(input& in)
    {
        constexpr int64 many[] = {64, 100, 511, 512, 513, 700, 1030};
        const int64 kv_heads = in.range(1, 2);
        return {kv_heads * in.range(1, 2), kv_heads, in.range(1, 6), in.one_in(3) ? in.one_of(many) : in.range(1, 40),
                in.range(1, 9)};
    }
    heed::extents q() const { return {1, heads, queries, dim}; }
    heed::extents k() const { return {1, kv_heads, keys, dim}; }
    int64 rows() const { return heads * queries; }
};

struct tensors {
    std::vector<float> q, k, v, dout;

    tensors(input& in, const sizes& e)
    {
        const double spread = std::ldexp(1., static_cast<int>(in.range(-6, 2)));
        const auto fill = [&](std::vector<float>& x, int64 rows, double by) {
            for (int64 i = 0; i < rows * e.dim; ++i) x.push_back(static_cast<float>(by * in.normal()));
        };
        fill(q, e.rows(), spread);
        fill(k, e.kv_heads * e.keys, 1);
        fill(v, e.kv_heads * e.keys, 1);
        fill(dout, e.rows(), 1);
        if (in.one_in(3))  // equal keys, of which none can be left out
            for (std::size_t i = static_cast<std::size_t>(e.dim); i < k.size(); ++i)
                if (in.random() % 2) k[i] = k[i - static_cast<std::size_t>(e.dim)];
    }
};

heed::view<const float> of(const std::vector<float>& x, const heed::extents& e) { return heed::bhsd(x.data(), e); }
template <class T>
heed::view<T> tokens(heed::view<T> v, int64 first, int64 count)
{
    v.data = v.row(0, 0, first);
    v.size.tokens = count;
    return v;
}

/// The state of keys [begin, end), drawn places.
template <class Def>
heed::threshold_state<float> part_of(input& in, const Def& def, const sizes& e, const tensors& x, int64 begin,
                                     int64 end)
{
    const int64 places = in.one_in(4) ? in.range(0, 12) : e.keys;
    const auto rows = static_cast<std::size_t>(e.rows());
    const heed::threshold_state<float> s{table(in, std::vector<heed::row_candidates<float>>(rows)),
                                         table(in, std::vector<float>(rows * static_cast<std::size_t>(places))),
                                         {1, e.heads, e.queries, places}};
    const heed::status ok =
        heed::threshold_partial(def, of(x.q, e.q()), tokens(of(x.k, e.k()), begin, end - begin), s, {begin, e.keys});
    require(static_cast<bool>(ok), std::string("a part is refused: ") + ok.message());
    return s;
}

template <class Def>
void parts_case(input& in, const Def& def, const sizes& e, const tensors& x, const thresholds& all)
{
    std::vector<heed::threshold_state<float>> parts;
    for (int64 begin = 0; begin < e.keys;) {
        const int64 end = parts.size() == 5 ? e.keys : in.range(begin + 1, e.keys);
        parts.push_back(part_of(in, def, e, x, begin, end));
        begin = end;
    }
    while (parts.size() > 1) {  // any two of them
        const auto draw = [&] { return static_cast<std::size_t>(in.random() % parts.size()); };
        const std::size_t into = draw(), other = draw();
        if (into == other) continue;
        require(static_cast<bool>(heed::merge(def, parts[into], parts[other])), "a merge is refused");
        parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(other));
    }
    thresholds found(all.size());
    const heed::status ok = heed::threshold(def, parts[0], found);
    if (!ok) {
        require(ok.code() == heed::errc::workspace_too_small, std::string("thresholds are refused: ") + ok.message());
        const auto overflows = [](const heed::row_candidates<float>& r) { return r.overflows(); };
        require(std::any_of(parts[0].rows, parts[0].rows + e.rows(), overflows), "no row overflows");
        return;
    }
    require(std::memcmp(found.data(), all.data(), all.size() * sizeof(all[0])) == 0,
            "thresholds of parts differ from those of all keys");
}

/// What two numbers that are computed by sums of `keys` terms of such a size may differ by.
bool near(float got, double want, double largest, int64 keys)
{
    return std::fabs(static_cast<double>(got) - want) <= 0x1p-24 * 64 * std::sqrt(static_cast<double>(keys)) * largest;
}

template <class Normalizer>
void gradients_case(const Normalizer& normalizer, const sizes& e, const tensors& x)
{
    const auto q = of(x.q, e.q()), k = of(x.k, e.k()), v = of(x.v, e.k()), dout = of(x.dout, e.q());
    const auto rows = static_cast<std::size_t>(e.rows());
    thresholds taus(rows);
    std::vector<float> shift(rows), mass(rows), out(x.q.size()), slopes(x.q.size()), dq(out), dk(x.k.size()), dv(dk);
    heed::options<float> how;
    how.stats = {shift, mass};
    const heed::view<float> slope_out = heed::bhsd(slopes.data(), e.q());
    heed::or_throw(heed::attend(heed::attention{normalizer, heed::causal{}, heed::keep_thresholds{taus, slope_out}}, q,
                                k, v, heed::bhsd(out.data(), e.q()), how));
    heed::gradients<float> to;
    to.dq = heed::bhsd(dq.data(), e.q()), to.dk = heed::bhsd(dk.data(), e.k()), to.dv = heed::bhsd(dv.data(), e.k());
    const heed::known_thresholds known{taus, of(slopes, e.q())};
    heed::or_throw(heed::backward(heed::attention{normalizer, heed::causal{}, known}, q, k, v, of(out, e.q()),
                                  how.stats, dout, to));
    std::vector<double> want_q(dq.size()), want_k(dk.size()), want_v(dv.size());
    heed::gradients<double> want;
    want.dq = heed::bhsd(want_q.data(), e.q()), want.dk = heed::bhsd(want_k.data(), e.k());
    want.dv = heed::bhsd(want_v.data(), e.k());
    heed::or_throw(heed::reference_backward<double>(heed::attention{normalizer, heed::causal{}}, q, k, v, dout, want));
    const auto judge = [&](const char* name, const std::vector<float>& got, const std::vector<double>& reference) {
        double largest = 1;
        for (const double g : reference) largest = std::max(largest, std::fabs(g));
        for (std::size_t i = 0; i < got.size(); ++i)
            require(near(got[i], reference[i], largest, e.keys), std::string(name) + " is " +
                                                                     shown(static_cast<double>(got[i])) +
                                                                     ", expected " + shown(reference[i]));
    };
    judge("dq", dq, want_q);
    judge("dk", dk, want_k);
    judge("dv", dv, want_v);
}

template <class Normalizer>
void normalizer_case(input& in, const Normalizer& normalizer, bool has_gradients)
{
    const sizes e = sizes::drawn(in);
    tensors x(in, e);
    if (in.one_in(4)) return has_gradients ? gradients_case(normalizer, e, x) : void();
    for (int64 n = in.one_in(3) ? in.range(1, 3) : 0; n > 0; --n)
        x.k[in.random() % x.k.size()] = static_cast<float>(special(in));
    thresholds all(static_cast<std::size_t>(e.rows()));
    std::vector<float> out(x.q.size());
    heed::or_throw(heed::attend(heed::attention{normalizer, heed::causal{}, heed::keep_thresholds{all}}, of(x.q, e.q()),
                                of(x.k, e.k()), of(x.v, e.k()), heed::bhsd(out.data(), e.q())));
    parts_case(in, heed::attention{normalizer, heed::causal{}}, e, x, all);
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    all_memory().clear();
    if (in.one_in(3)) normalizer_case(in, heed::top_k{in.range(1, 20)}, false);
    else normalizer_case(in, heed::entmax15{}, true);
    return 0;
}
