// SPDX-License-Identifier: MIT
// heed over the tensors of a case, with any definition.
#pragma once

#include "contestants.hpp"
#include "inputs.hpp"

#include <heed/executor/threads.hpp>
#include <heed/heed.hpp>
#include <heed/observe.hpp>

namespace bench {

/// What observe() needs and gives: all that is one number a row.
class row_numbers {
public:
    explicit row_numbers(std::int64_t rows)
        : rows_(static_cast<std::size_t>(rows)), numbers_(8 * rows_), counts_(3 * rows_)
    {}
    heed::row_statistics<float> stats() { return {at(0), at(1), nullptr}; }
    heed::observations<float> wanted()
    {
        heed::observations<float> o;
        o.max_score = at(2), o.lse = at(3), o.entropy = at(4), o.total = at(5), o.first_token = at(6);
        o.mean_distance = at(7);
        o.attended = counts_.data(), o.zeros = o.attended + rows_, o.small = o.zeros + rows_;
        return o;
    }

private:
    float* at(std::size_t i) { return numbers_.data() + i * rows_; }
    std::size_t rows_;
    std::vector<float> numbers_;
    std::vector<std::int64_t> counts_;
};

/// `attending`, and then observe() of the same.
template <class Def>
contestant observed(const contestant& attending, const Def& def, const heed::view<const float>& q,
                    const heed::view<const float>& k, heed::options<float> how,
                    const std::shared_ptr<row_numbers>& rows)
{
    if constexpr (heed::has_threshold_v<typename Def::normalizer_type>) {
        return attending;  // what observe() takes besides stands in no case
    } else {
        const heed::observe_plan plan(def, q, k, how);
        heed::or_throw(plan.status());
        const auto scratch = std::make_shared<std::vector<std::byte>>(plan.workspace_bytes());
        how.workspace = {scratch->data(), scratch->size()};
        return {[=] {
                    attending.run();
                    heed::or_throw(plan.run(q, k, rows->stats(), rows->wanted(), how));
                    (void)scratch;
                },
                attending.output, attending.description + ", then observe"};
    }
}

template <class E, class Def>
contestant attending_in(const bench_case& c, const Def& def)
{
    struct held {
        std::shared_ptr<const inputs<E>> in;
        buffer<E> out;
        heed::thread_pool pool;
        std::vector<std::byte> scratch;
        explicit held(const bench_case& of)
            : in(inputs_of<E>(of)), out(of.batch * of.query_heads * of.queries * of.value_dim), pool(of.threads)
        {}
    };
    const auto h = std::make_shared<held>(c);
    const auto q = heed::bhsd<const E>(h->in->q.get(), {c.batch, c.query_heads, c.queries, c.key_dim});
    const auto rows_of = [&](const E* data, const row_steps& step, std::int64_t dim) {
        return heed::strided<const E>(data, {c.batch, c.kv_heads, c.keys, dim}, {step.batch, step.head, step.token});
    };
    const auto k = rows_of(h->in->k(), h->in->k_step, c.key_dim), v = rows_of(h->in->v(), h->in->v_step, c.value_dim);
    const auto out = heed::bhsd(h->out.get(), {c.batch, c.query_heads, c.queries, c.value_dim});
    heed::options<float> how;
    if (c.threads > 1) how.executor = h->pool;
    const heed::plan plan(def, q, k, v, how);
    heed::or_throw(plan.status());
    h->scratch.resize(plan.workspace_bytes());
    how.workspace = {h->scratch.data(), h->scratch.size()};
    const auto rows = std::make_shared<row_numbers>(c.impl == "observe" ? c.batch * c.query_heads * c.queries : 0);
    if (c.impl == "observe") how.stats = rows->stats();
    const std::int64_t layer_heads = c.batch * c.kv_heads, held_layers = c.layers_held();
    const contestant attending{[=] {
                                   for (std::int64_t layer = 0; layer < c.layers; ++layer) {
                                       auto k_of = k, v_of = v;
                                       k_of.data = h->in->k(layer % held_layers * layer_heads);
                                       v_of.data = h->in->v(layer % held_layers * layer_heads);
                                       heed::or_throw(plan.run(q, k_of, v_of, out, how));
                                   }
                               },
                               [=] { return std::vector<float>(h->out.get(), h->out.get() + h->out.size()); },
                               plan.describe().text};
    if constexpr (std::is_same_v<E, float>)
        if (c.impl == "observe") return observed(attending, def, q, k, how, rows);
    return attending;
}

}  // namespace bench
