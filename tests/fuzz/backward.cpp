// SPDX-License-Identifier: MIT
// backward beside plain loops of double:
//
//     ds_ij = (w'_ij (dO_i . v_j) - u'_ij D_i) / den_i     D_i = dO_i . o_i - dlse_i
//
// and the slopes of the maps for dq, dk, dbias and dslopes. What a component may differ by is carried through the same
// formulas: errors of scores and denominators as in oracle.hpp, each sum by its whole depth.
#include "attend.hpp"

#include <heed/backward.hpp>

namespace fuzz {
namespace {

constexpr double u = unit_of<float>;

/// A softcap, or none: the kernels are compiled once for both.
struct optional_softcap {
    const map_step<float>* step;

    heed::softcap cap() const { return {step->what == map_step<float>::softcap ? step->cap : 1}; }
    template <class V>
    V map(V s, const heed::score_place<V>& at) const
    {
        return step->what == map_step<float>::softcap ? cap().map(s, at) : s;
    }
    template <class V>
    V slope(V s, const heed::score_place<V>& at) const
    {
        return step->what == map_step<float>::softcap ? cap().slope(s, at) : V(1);
    }
    heed::status check(const heed::problem& p) const { return cap().check(p); }
};

/// Six gradients and what each number of them may differ by.
struct gradient_numbers {
    std::vector<double> x, allowed;
    explicit gradient_numbers(int64 n) : x(static_cast<std::size_t>(n)), allowed(x.size()) {}
    void add(int64 at, double value, double error)
    {
        x[static_cast<std::size_t>(at)] += value;
        allowed[static_cast<std::size_t>(at)] += error;
    }
};

struct expected {
    gradient_numbers dq, dk, dv, dlog, dbias, dslopes;
    bool wild = false;
};

/// Where maps are alibi behind softcap, before bias: what backward can learn of each.
expected gradients_of(const oracle<float>& o, const recipe<float>& r, const problem& p, const std::vector<double>& dout,
                      const float* dlse)
{
    const extent e = p.sizes();
    const int64 dk = p.key_dim, dv = p.value_dim, rows = e.queries, keys = e.keys;
    expected g{
        gradient_numbers(e.batch * e.query_heads * rows * dk),   gradient_numbers(e.batch * e.kv_heads * keys * dk),
        gradient_numbers(e.batch * e.kv_heads * keys * dv),      gradient_numbers(e.query_heads),
        gradient_numbers(e.batch * e.query_heads * rows * keys), gradient_numbers(e.query_heads)};
    const double scale = o.scale();
    const auto many =
        static_cast<double>(e.batch * e.query_heads * rows + keys + 8);  // the depth of every sum over rows or keys
    for (int64 b = 0; b < e.batch; ++b)
        for (int64 h = 0; h < e.query_heads; ++h)
            for (int64 i = 0; i < rows; ++i) {
                const auto bs = static_cast<std::size_t>(b);
                const auto x = o.weigh(b, h, i);
                if (x.what != row<double>::certain) {
                    g.wild = true;
                    return g;
                }
                if (x.den == 0) continue;
                if (x.den < 1e-20) {
                    g.wild = true;
                    return g;
                }
                const double relative_den = x.den_error / x.den;
                const int64 line = (b * e.query_heads + h) * rows + i;
                const double* const d = dout.data() + line * dv;
                const auto dot = [&](const double* v, double& absolute) {
                    double s = 0;
                    absolute = 0;
                    for (int64 c = 0; c < dv; ++c) s += d[c] * v[c], absolute += std::fabs(d[c] * v[c]);
                    return s;
                };
                double total = 0, total_error = 0, absolute = 0;
                for (const auto& key : x.keys) {
                    const double dp = dot(p.v_row(bs, x.kv_head, key.key), absolute);
                    total += key.w * dp / x.den;
                    total_error += (key.w_slope * key.error + 4 * key.w) * std::fabs(dp) / x.den +
                                   key.w / x.den * absolute * (many + static_cast<double>(dv) + relative_den);
                }
                if (dlse) {
                    total -= static_cast<double>(dlse[line]);
                    total_error += std::fabs(static_cast<double>(dlse[line]));
                }
                total_error += std::fabs(total) * (4 + relative_den);
                g.dlog.add(h, -total * x.extra / x.den,
                           x.extra / x.den *
                               (total_error +
                                std::fabs(total) *
                                    (many + 12 + relative_den + std::fabs(x.extra > 0 ? std::log(x.extra) + x.m : 0))));
                for (const auto& key : x.keys) {
                    const double dp = dot(p.v_row(bs, x.kv_head, key.key), absolute), spread = 2 * u * key.error;
                    const auto here = o.terms(key.s, x.m), low = o.terms(key.s - spread, x.m),
                               high = o.terms(key.s + spread, x.m);
                    const auto of = [&](const auto& t) { return (t.dw * dp - t.du * total) / x.den; };
                    const double value = of(here),
                                 change = std::max(std::fabs(of(low) - value), std::fabs(of(high) - value)) / u;
                    const double error =
                        change +
                        (key.w_slope * absolute * static_cast<double>(dv + 4) + key.u_slope * total_error +
                         6 * (key.w_slope * std::fabs(dp) + key.u_slope * std::fabs(total))) /
                            x.den +
                        std::fabs(value) * (relative_den + 4);
                    // Through the maps, last to first.
                    double s[3] = {key.scaled, 0, 0}, slope[2] = {1, 1}, steep[2] = {1, 1};
                    for (int m = 0; m < 2; ++m) {
                        s[m + 1] = o.map(r.maps[m], s[m], b, h, i, x.position, key.key, slope[m]);
                        // a softcap, whose slope is all that changes, comes first
                        const double apart = 2 * u * (m == 0 ? key.scaled_error : key.error);
                        double below = 1, above = 1;
                        (void)o.map(r.maps[m], s[m] - apart, b, h, i, x.position, key.key, below);
                        (void)o.map(r.maps[m], s[m] + apart, b, h, i, x.position, key.key, above);
                        steep[m] =
                            std::max(std::fabs(below - slope[m]), std::fabs(above - slope[m])) / u + 8 * slope[m];
                    }
                    double ds = value, ds_error = error;
                    for (int m = 1; m >= 0; --m) {
                        if (r.maps[m].what == map_step<float>::bias) g.dbias.add(line * keys + key.key, ds, ds_error);
                        if (r.maps[m].what == map_step<float>::alibi) {
                            const auto distance = static_cast<double>(key.key - x.position);
                            g.dslopes.add(h, ds * distance, std::fabs(distance) * (ds_error + many * std::fabs(ds)));
                        }
                        ds_error = ds_error * slope[m] + std::fabs(ds) * steep[m];
                        ds *= slope[m];
                    }
                    const double *k = p.k_row(bs, x.kv_head, key.key), *q = p.q_row(bs, h, i);
                    const double by = scale * ds, by_error = std::fabs(scale) * (ds_error + many * std::fabs(ds));
                    for (int64 c = 0; c < dk; ++c) {
                        g.dq.add(line * dk + c, by * k[c], by_error * std::fabs(k[c]));
                        g.dk.add(((b * e.kv_heads + x.kv_head) * keys + key.key) * dk + c, by * q[c],
                                 by_error * std::fabs(q[c]));
                    }
                    const double weight = key.w / x.den;
                    const double weight_error =
                        (key.w_slope * key.error + 4 * key.w) / x.den + weight * (relative_den + many + 4);
                    for (int64 c = 0; c < dv; ++c)
                        g.dv.add(((b * e.kv_heads + x.kv_head) * keys + key.key) * dv + c, weight * d[c],
                                 weight_error * std::fabs(d[c]));
                }
            }
    return g;
}

/// The numbers [B, Hq, Sq, Skv] of `each` summed along the extents of 1.
gradient_numbers summed(const gradient_numbers& each, const heed::extents& all, const heed::extents& to)
{
    gradient_numbers sums(to.batch * to.heads * to.tokens * to.dim);
    const auto terms = static_cast<double>(all.batch * all.heads * all.tokens);  // at most
    std::size_t from = 0;
    for (int64 b = 0; b < all.batch; ++b)
        for (int64 h = 0; h < all.heads; ++h)
            for (int64 i = 0; i < all.tokens; ++i)
                for (int64 j = 0; j < all.dim; ++j, ++from) {
                    const int64 line = ((to.batch == 1 ? 0 : b) * to.heads + (to.heads == 1 ? 0 : h)) * to.tokens +
                                       (to.tokens == 1 ? 0 : i);
                    sums.add(line * to.dim + j, each.x[from], each.allowed[from] + terms * std::fabs(each.x[from]));
                }
    return sums;
}

void compare(const char* name, const gradient_numbers& want, std::size_t at, double got)
{
    const double allowed = 3 * u * (want.allowed[at] + std::fabs(want.x[at])) + 1e-36;
    if (std::fabs(want.x[at]) > 1e30) return;
    require(std::fabs(got - want.x[at]) <= allowed,
            std::string(name) + "[" + std::to_string(at) + "] is " + shown(static_cast<double>(got)) + ", expected " +
                shown(static_cast<double>(want.x[at])) + " within " + shown(static_cast<double>(allowed)));
}

template <class Make>
void backward_case(input& in, normalizer n, bool log_offset, Make make)
{
    all_memory().clear();
    const bool hostile = in.one_in(6);
    constexpr int64 rows_of_calls[] = {1, 2, 3, 5, 9, 20, 40};
    constexpr int64 some_keys[] = {0, 1, 2, 5, 16, 17, 33, 64, 65, 130};
    const int64 kv_heads = in.range(1, 2);
    const extent e{in.one_in(3) ? in.range(0, 2) : 1, kv_heads * in.range(1, 3), kv_heads,
                   in.one_in(20) ? 0 : in.one_of(rows_of_calls), in.one_of(some_keys)};
    const int64 dim = drawn_dim(in), value_dim = drawn_dim(in);
    const heed::extents q_size{e.batch, e.query_heads, e.queries, dim}, k_size{e.batch, kv_heads, e.keys, dim},
        v_size{e.batch, kv_heads, e.keys, value_dim}, out_size{e.batch, e.query_heads, e.queries, value_dim};
    auto q = placed<float>::drawn(in, q_size, false, false), k = placed<float>::drawn(in, k_size, false, false),
         v = placed<float>::drawn(in, v_size, false, false), out = placed<float>::drawn(in, out_size, false, false),
         dout = placed<float>::drawn(in, out_size, false, false);
    // Strides of 0 in out would let rows overwrite each other.
    out.v.stride = heed::bhsd(static_cast<float*>(nullptr), out_size).stride;
    out.place(in);
    if (!(q.has_memory && k.has_memory && v.has_memory && out.has_memory && dout.has_memory)) return;
    if (wide{e.batch} * e.query_heads * e.queries * e.keys * (dim + value_dim) > most_work / 4) return;
    fill(in, q.v, family::drawn(in), false);
    fill(in, k.v, family::drawn(in), false);
    fill(in, v.v, family::drawn(in), false);
    fill(in, dout.v, family::drawn(in), false);

    recipe<float> r = recipe<float>::drawn(in, n, e, dim, false, false);
    for (auto& m : r.maps) m = map_step<float>{};
    if (in.one_in(2))  // softcap or alibi, then bias or nothing: one parameter of a kind can be learnt
        for (int i = 0; i < 2; ++i) {
            const auto wanted =
                i == 0 ? (in.one_in(2) ? map_step<float>::softcap : map_step<float>::alibi) : map_step<float>::bias;
            while (r.maps[i].what != wanted) r.maps[i] = map_step<float>::drawn(in, e, false);
            r.maps[i].is_attention_mask = false;
        }
    const bool has_maps = r.maps[0].what != map_step<float>::none;
    // The library learns parameters by type: an alibi and a bias are always there, and do nothing where none was drawn.
    std::vector<float> no_slopes(static_cast<std::size_t>(e.query_heads), 0.f);
    const bool alibi = r.maps[0].what == map_step<float>::alibi;
    const float* const slopes = alibi ? r.maps[0].slopes : table(in, no_slopes);
    const optional_softcap cap{&r.maps[0]};
    score_table<float> zeros;
    zeros.size[0] = zeros.size[1] = zeros.size[2] = 1;
    zeros.size[3] = e.keys;
    zeros.stride[0] = zeros.stride[1] = zeros.stride[2] = e.keys;
    zeros.data = table(in, std::vector<float>(static_cast<std::size_t>(e.keys)));
    const heed::bias<float> bias((has_maps ? r.maps[1].table : zeros).view());
    const auto def = make(r, cap, heed::alibi{slopes, e.query_heads}, bias);

    const int64 lines = e.batch * e.query_heads * e.queries;
    const auto zero = [&](int64 count) { return table(in, std::vector<float>(static_cast<std::size_t>(count), -7.f)); };
    const heed::row_statistics<float> stats{zero(lines), zero(lines), nullptr};
    const heed::status forward = heed::attend(def, heed::view<const float>(q.v), heed::view<const float>(k.v),
                                              heed::view<const float>(v.v), out.v, {.stats = stats});
    require(static_cast<bool>(forward), std::string("attend refused: ") + forward.message());

    const problem p = dense_problem(q.v, k.v, v.v);
    std::vector<double> dout_numbers;
    for (int64 b = 0; b < e.batch; ++b) {
        const auto d = decoded(dout.v, b, 0, e.queries);
        dout_numbers.insert(dout_numbers.end(), d.begin(), d.end());
    }

    // Gradients that are wanted, in views of any strides.
    heed::gradients<float> to;
    bool valid = true, may_refuse = false, has_memory = true;
    const auto wanted = [&](heed::view<float>& g, heed::extents size) {
        if (in.one_in(4)) return;
        const bool wrong = hostile && in.one_in(4);
        if (wrong && in.one_in(2)) ++(in.one_in(2) ? size.tokens : size.dim);
        const auto place = placed<float>::drawn(in, size, !(hostile && in.one_in(4)), wrong && in.one_in(2));
        g = place.v;
        has_memory = has_memory && place.has_memory;
    };
    wanted(to.dq, q_size);
    wanted(to.dk, k_size);
    wanted(to.dv, v_size);
    const heed::extents scores{e.batch, e.query_heads, e.queries, e.keys};
    heed::extents bias_size = scores;
    if (in.one_in(3)) bias_size.batch = 1;
    if (in.one_in(3)) bias_size.heads = 1;
    if (in.one_in(3)) bias_size.tokens = 1;
    if (e.keys > 0) wanted(to.dbias, bias_size);
    if (in.one_in(2) && (log_offset || hostile)) to.dlog_offset = zero(e.query_heads);
    if (in.one_in(2)) to.dslopes = zero(e.query_heads);
    if (hostile && in.one_in(6) && to.dk.data && !is_empty(q_size))  // empty dq may be at any address
        to.dk.data = in.one_in(2) ? to.dq.data : k.v.data;
    if (!has_memory) return;
    const auto same = [](const heed::extents& a, const heed::extents& b) {
        return a.batch == b.batch && a.heads == b.heads && a.tokens == b.tokens && a.dim == b.dim;
    };
    std::vector<std::vector<std::pair<wide, wide>>> inputs{rows_of(q.v), rows_of(k.v), rows_of(v.v), rows_of(out.v),
                                                           rows_of(dout.v)};
    const auto judge_view = [&](const heed::view<float>& g, const heed::extents& size) {
        if (!g.data || is_empty(size)) return;
        if (!is_describable(g) || !same(g.size, size)) {
            valid = false;
            return;
        }
        const auto rows = rows_of(g);
        if (touch(rows)) valid = false;
        if (!strides_nest(g)) may_refuse = true;
        for (const auto& other : inputs)
            if (touch(rows, other)) valid = false;
        inputs.push_back(rows);
    };
    judge_view(to.dq, q_size);
    judge_view(to.dk, k_size);
    judge_view(to.dv, v_size);
    if (to.dbias.data) {  // any extent may be 1
        const heed::extents& have = to.dbias.size;
        judge_view(to.dbias, {have.batch == 1 ? 1 : e.batch, have.heads == 1 ? 1 : e.query_heads,
                              have.tokens == 1 ? 1 : e.queries, e.keys});
    }
    if (to.dlog_offset && !log_offset) valid = false;
    may_refuse = may_refuse || hostile;

    const float* dlse = nullptr;
    if (in.one_in(2)) {
        std::vector<float> numbers(static_cast<std::size_t>(lines));
        for (float& x : numbers) x = static_cast<float>(in.range(-8, 8)) / 4;
        dlse = table(in, numbers);
    }
    constexpr int some_workers[] = {1, 2, 3, 8};
    shuffled executor{&in, in.one_of(some_workers)};
    all_memory().keep();
    const heed::status s = heed::backward(
        def, heed::view<const float>(q.v), heed::dense_kv{heed::view<const float>(k.v), heed::view<const float>(v.v)},
        heed::output_gradients{heed::view<const float>(out.v), stats, heed::view<const float>(dout.v), {dlse}}, to,
        {.executor = executor});
    if (!s) {
        require(all_memory().unchanged(), std::string("backward refused and wrote: ") + s.message());
        require(!valid || may_refuse, std::string("backward refused: ") + s.message());
        return;
    }
    require(valid, "backward took what is not sound");
    std::vector<row_bytes> written;
    for (const auto* g : {&to.dq, &to.dk, &to.dv, &to.dbias})
        if (g->data) written.emplace_back(*g);
    for (float* g : {to.dlog_offset, to.dslopes})
        if (g) written.emplace_back(heed::view<float>{g, {1, 1, 1, std::max<int64>(e.query_heads, 1)}, {0, 0, 0}});
    require(all_memory().unchanged_but([&](const std::byte* at) {
        for (const auto& w : written)
            if (w(at)) return true;
        return false;
    }),
            "backward wrote beside its gradients");

    const oracle<float> o(r, p);
    const expected g = gradients_of(o, r, p, dout_numbers, dlse);
    if (g.wild) return;
    const auto compare_view = [](const char* name, const gradient_numbers& want, const heed::view<float>& got) {
        if (!got.data) return;
        std::size_t at = 0;
        for (int64 b = 0; b < got.size.batch; ++b)
            for (int64 h = 0; h < got.size.heads; ++h)
                for (int64 t = 0; t < got.size.tokens; ++t)
                    for (int64 c = 0; c < got.size.dim; ++c, ++at) compare(name, want, at, number(got.row(b, h, t)[c]));
    };
    compare_view("dq", g.dq, to.dq);
    compare_view("dk", g.dk, to.dk);
    compare_view("dv", g.dv, to.dv);
    if (has_maps && to.dbias.data) compare_view("dbias", summed(g.dbias, scores, to.dbias.size), to.dbias);
    for (int64 h = 0; h < e.query_heads; ++h) {
        const auto at = static_cast<std::size_t>(h);
        if (to.dlog_offset) compare("dlog_offset", g.dlog, at, number(to.dlog_offset[h]));
        if (to.dslopes && alibi) compare("dslopes", g.dslopes, at, number(to.dslopes[h]));
    }
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    const auto with = [](const auto& r, const auto& n, const optional_softcap& cap, const heed::alibi& slopes,
                         const heed::bias<float>& bias) {
        return heed::attention{n, heed::scale{r.scale}, cap, slopes, bias, any_mask(r.mask), offsets_of(r)};
    };
    switch (in.range(0, 3)) {
    case 0:
        backward_case(in, normalizer::sink, true, [&](const auto& r, const auto&... p) {
            return with(r, heed::softmax_sink(r.logits, r.logit_count), p...);
        });
        break;
    case 1:
        backward_case(in, normalizer::softmax, false,
                      [&](const auto& r, const auto&... p) { return with(r, heed::softmax{}, p...); });
        break;
    case 2:
        backward_case(in, normalizer::softpick, true,
                      [&](const auto& r, const auto&... p) { return with(r, heed::softpick{r.parameter}, p...); });
        break;
    case 3:
        backward_case(in, normalizer::sigmoid, false,
                      [&](const auto& r, const auto&... p) { return with(r, heed::sigmoid{r.parameter}, p...); });
        break;
    }
    return 0;
}
