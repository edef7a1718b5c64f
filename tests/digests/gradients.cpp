// SPDX-License-Identifier: MIT
// backward(), observe() and attention_map().
#include "digests.hpp"

#include <heed/observe.hpp>

namespace digests {
namespace {

template <class T, class Def>
void add(sink& to, const std::string& name, const Def& def, int64 batch = 1)
{
    const inputs<T> in(batch, 4, 2, 90, 600, 40, 24);
    const tensor<T> dout = drawn<T>(in.out_size(), 4);
    tensor<T> out(in.out_size()), dq(in.q.size), dk(in.k.size), dv(in.v.size);
    std::vector<T> shift(in.rows()), mass(in.rows()), dlog_offset(4), dslopes(4);
    const heed::row_statistics<T> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, in.q.in(), in.k.in(), in.v.in(), out.view(), {.stats = stats}));
    heed::gradients<T> wanted;
    wanted.dq = dq.view(), wanted.dk = dk.view(), wanted.dv = dv.view();
    if constexpr (heed::has_log_offset_v<typename Def::normalizer_type>) wanted.dlog_offset = dlog_offset.data();
    if constexpr (Def::has_score_maps) wanted.dslopes = dslopes.data();
    heed::or_throw(heed::backward(def, in.q.in(), in.k.in(), in.v.in(), out.in(), stats, dout.in(), wanted));
    to.give("backward, " + name, hash().add(dq.data).add(dk.data).add(dv.data).add(dlog_offset).add(dslopes));
}

template <class Def>
void add_observations(sink& to, const std::string& name, const Def& def)
{
    const inputs<float> in(1, 4, 2, 33, 600, 40, 24);
    tensor<float> out(in.out_size());
    const std::size_t n = in.rows();
    std::vector<float> shift(n), mass(n), max_score(n), entropy(n), total(n), first(n), distance(n), top(3 * n);
    std::vector<int64> attended(n), zeros(n), small(n), keys(3 * n);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, in.q.in(), in.k.in(), in.v.in(), out.view(), {.stats = stats}));
    heed::observations<float> what;
    what.max_score = max_score.data(), what.entropy = entropy.data(), what.total = total.data();
    what.first_token = first.data(), what.mean_distance = distance.data();
    what.attended = attended.data(), what.zeros = zeros.data(), what.small = small.data();
    what.top_k = 3, what.top_keys = keys.data(), what.top_weights = top.data();
    heed::or_throw(heed::observe(def, in.q.in(), in.k.in(), stats, what));
    to.give("observe, " + name, hash()
                                    .add(max_score)
                                    .add(entropy)
                                    .add(total)
                                    .add(first)
                                    .add(distance)
                                    .add(attended)
                                    .add(zeros)
                                    .add(small)
                                    .add(keys)
                                    .add(top));
    std::vector<float> map(20 * 600);
    heed::or_throw(heed::attention_map(def, in.q.in(), in.k.in(), stats,
                                       {.batch = 0, .head = 3, .first_row = 5, .rows = 20}, map.data()));
    to.give("attention_map, " + name, hash().add(map));
}

template <class Def>
void add_key_totals(sink& to, const std::string& name, const Def& def)
{
    const inputs<float> in(2, 6, 2, 50, 1100, 40, 24);
    tensor<float> out(in.out_size());
    std::vector<float> shift(in.rows()), mass(in.rows()), totals(2 * 2 * 1100);
    const heed::row_statistics<float> stats{shift.data(), mass.data(), nullptr};
    heed::or_throw(heed::attend(def, in.q.in(), in.k.in(), in.v.in(), out.view(), {.stats = stats}));
    heed::or_throw(heed::key_totals(def, in.q.in(), in.k.in(), stats, totals));
    to.give("key_totals, " + name, hash().add(totals));
}

}  // namespace

void gradients(sink& to)
{
    const float logits[] = {0.5f, -1, 2, 0}, slopes[] = {0.5f, 0.25f, 0.125f, 1};
    using heed::attention, heed::causal;
    add<float>(to, "softmax, causal", attention{heed::softmax{}, causal{}});
    add<float>(to, "softpick, alibi", attention{heed::softpick{}, heed::alibi{slopes, 4}}, 2);
    add<float>(to, "softmax_sink, causal", attention{heed::softmax_sink{logits, 4}, causal{}});
    add<double>(to, "sigmoid of double", attention{heed::sigmoid{-3}});
    add<float>(to, "stick_breaking, alibi", attention{heed::stick_breaking{}, heed::alibi{slopes, 4}});
    add_observations(to, "softmax, causal", attention{heed::softmax{}, causal{}});
    add_observations(to, "softpick", attention{heed::softpick{}});
    add_observations(to, "stick_breaking, alibi", attention{heed::stick_breaking{}, heed::alibi{slopes, 4}});
    add_key_totals(to, "softmax, causal", attention{heed::softmax{}, causal{}});
}

}  // namespace digests
