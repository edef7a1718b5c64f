// SPDX-License-Identifier: MIT
// Cases of phase `backward`: dq, dk and dv of what heed attended to once before, dO being Q's numbers in another order.
#include "case_mask.hpp"
#include "contestants.hpp"
#include "inputs.hpp"
#include "thresholds.hpp"

#include <heed/executor/threads.hpp>

#include <cmath>

namespace bench {
namespace {

/// What attend leaves, beside statistics, of a normalizer with a threshold.
struct left_of_thresholds {
    std::vector<heed::row_threshold<float>> rows;
    std::vector<float> slopes;
    heed::view<float> slope_out;
};

/// forward(left) and backward(left) are the definitions of the two passes.
template <class Forward, class Backward>
contestant make(const bench_case& c, const Forward& forward, const Backward& backward)
{
    const heed::extents rows{c.batch, c.query_heads, c.queries, c.key_dim},
        out_rows{c.batch, c.query_heads, c.queries, c.value_dim};
    const heed::extents keys{c.batch, c.kv_heads, c.keys, c.key_dim}, values{c.batch, c.kv_heads, c.keys, c.value_dim};
    const auto count = [](const heed::extents& e) { return e.batch * e.heads * e.tokens * e.dim; };
    struct held {
        std::shared_ptr<const inputs<float>> in;
        std::vector<float> out, dout, shift, mass, gradients;
        left_of_thresholds left;
        heed::thread_pool pool;
        std::vector<std::byte> scratch;
        explicit held(const bench_case& of) : in(inputs_of<float>(of)), pool(of.threads) {}
    };
    const auto h = std::make_shared<held>(c);
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    h->out.resize(size(count(out_rows)));
    h->shift.resize(size(c.batch * c.query_heads * c.queries));
    h->mass.resize(h->shift.size());
    h->gradients.resize(size(count(rows) + count(keys) + count(values)));
    for (std::size_t i = 0; i < h->out.size(); ++i)
        h->dout.push_back(h->in->q.get()[(i * 7919 + 13) % size(count(rows))]);

    const auto rows_of = [](const float* data, const heed::extents& of, const row_steps& step) {
        return heed::strided<const float>(data, of, {step.batch, step.head, step.token});
    };
    const auto q = heed::bhsd<const float>(h->in->q.get(), rows), k = rows_of(h->in->k(), keys, h->in->k_step),
               v = rows_of(h->in->v(), values, h->in->v_step), dout = heed::bhsd<const float>(h->dout.data(), out_rows);
    const auto out = heed::bhsd(h->out.data(), out_rows);
    heed::options<float> how;
    if (c.threads > 1) how.executor = h->pool;
    how.stats = {h->shift.data(), h->mass.data(), nullptr};
    h->left.rows.resize(h->shift.size());
    h->left.slopes.resize(h->out.size());
    h->left.slope_out = heed::bhsd(h->left.slopes.data(), out_rows);
    heed::or_throw(heed::attend(forward(h->left), q, k, v, out, how));

    const heed::backward_plan plan(backward(h->left), q, k, v, how);
    heed::or_throw(plan.status());
    h->scratch.resize(plan.workspace_bytes());
    how.workspace = {h->scratch.data(), h->scratch.size()};
    heed::gradients<float> to;
    to.dq = heed::bhsd(h->gradients.data(), rows);
    to.dk = heed::bhsd(h->gradients.data() + count(rows), keys);
    to.dv = heed::bhsd(h->gradients.data() + count(rows) + count(keys), values);
    return {[=] { heed::or_throw(plan.run(q, k, v, out, how.stats, dout, to, how)); }, [=] { return h->gradients; },
            plan.describe().text};
}

template <class Def>
contestant make(const bench_case& c, const Def& def)
{
    const auto same = [&](const left_of_thresholds&) { return def; };
    return make(c, same, same);
}
contestant make_of_threshold(const bench_case& c)
{
    return with_thresholded(c, [&](const auto& normalizer, const heed::scale& scale) {
        constexpr bool moves = heed::needs_slope_out_v<std::decay_t<decltype(normalizer)>>;
        return make(
            c,
            [&](left_of_thresholds& left) {
                const heed::keep_thresholds keep{left.rows, moves ? left.slope_out : heed::view<float>()};
                return heed::attention{normalizer, scale, case_mask(c), keep};
            },
            [&](left_of_thresholds& left) {
                const heed::known_thresholds known{left.rows, heed::view<const float>(left.slope_out)};
                return heed::attention{normalizer, scale, case_mask(c), known};
            });
    });
}

}  // namespace

std::string backward_refusal(const bench_case& c)
{
    if (c.element != "f32" || c.over_cache()) return "backward is measured in f32 only";
    if (c.layers > 1 || c.form != mask_form::policy) return "backward is measured in one layer, with masks as policies";
    return c.normalizer == "softmax1" || c.normalizer == "softmax_sink" || c.normalizer == "relu2"
               ? "backward is measured for softmax, softpick, sigmoid, relu1 and normalizers with a threshold"
               : "";
}

contestant make_backward(const bench_case& c)
{
    if (c.normalizer == "softmax") return make(c, heed::attention{heed::softmax{}, case_mask(c)});
    if (c.normalizer == "softpick") return make(c, heed::attention{heed::softpick{}, case_mask(c)});
    if (c.normalizer == "relu1") return make(c, heed::attention{heed::relu<1>{}, case_mask(c)});
    if (c.normalizer != "sigmoid") return make_of_threshold(c);
    return make(c, heed::attention{heed::sigmoid{-std::log(static_cast<double>(c.keys))}, case_mask(c)});
}

}  // namespace bench
