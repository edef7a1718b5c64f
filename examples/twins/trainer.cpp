// SPDX-License-Identifier: MIT
#include "trainer.hpp"

#include "adamw.hpp"

#include <limits>
#include <numeric>

namespace twins {
namespace {

// A batch is cut into this many shards (fewer for a smaller batch), each with a gradient of its own. A constant: the
// order of the sum depends on it.
constexpr int64 most_shards = 8;
constexpr int64 gradient_block = 16384;  // parameters of one task of the update
constexpr std::uint64_t batch_stream = 0xba7c, probe_stream = 0x9b0b;

}  // namespace

trainer::trainer(const settings& s, const task& t, heed::thread_pool& pool)
    : settings_(s), task_(t), pool_(pool), at_(layout_of(s.shape, s.normalizer)),
      attend_(make_attention(s.normalizer, s.shape.context)), state_(at_, static_cast<std::uint64_t>(s.seed)),
      gradients_(static_cast<std::size_t>(std::min(most_shards, s.batch)),
                 std::vector<float>(static_cast<std::size_t>(at_.size())))
{
    for (int i = 0; i < pool.concurrency(); ++i)
        workers_.push_back(
            {transformer<float>(s.shape, *attend_), std::vector<int>(static_cast<std::size_t>(s.shape.context + 1))});
}

double trainer::step()
{
    const double loss = batch_gradient();
    apply_gradient();
    ++state_.step;
    state_.recent_loss += loss;
    const bool has_point = settings_.has_point(state_.step);
    if (has_point || done()) {
        loss_curve& c = state_.curve;
        const double before = c.step.empty() ? 0 : c.step.back();
        c.step.push_back(static_cast<double>(state_.step));
        c.training.push_back(state_.recent_loss / (c.step.back() - before));
        c.validation.push_back(validation_loss(settings_.windows));
    }
    if (has_point) state_.recent_loss = 0;  // at the end of an extension the sum stays, for a longer one
    return loss;
}

void trainer::go_on_from(training_state s)
{
    state_ = std::move(s);
    loss_curve& c = state_.curve;
    if (done() || c.step.empty() || settings_.has_point(static_cast<int64>(c.step.back()))) return;
    for (auto* const numbers : {&c.step, &c.training, &c.validation}) numbers->pop_back();  // the end of a shorter one
}

double trainer::batch_gradient()
{
    const int64 shards = static_cast<int64>(gradients_.size()), context = settings_.shape.context;
    const float factor = 1 / static_cast<float>(settings_.batch * context);
    std::vector<double> loss(static_cast<std::size_t>(settings_.batch));
    pool_(shards, [&](int64 shard, int w) {
        worker& own = workers_[static_cast<std::size_t>(w)];
        std::vector<float>& gradient = gradients_[static_cast<std::size_t>(shard)];
        std::fill(gradient.begin(), gradient.end(), 0.0f);
        for (int64 i = shard * settings_.batch / shards; i < (shard + 1) * settings_.batch / shards; ++i) {
            task_.draw(random_stream{static_cast<std::uint64_t>(settings_.seed), batch_stream,
                                     static_cast<std::uint64_t>(state_.step), static_cast<std::uint64_t>(i)},
                       own.window.data(), context + 1);
            own.model.forward(parameters(), own.window.data(), context);
            loss[static_cast<std::size_t>(i)] = own.model.loss(own.window.data() + 1);
            own.model.backward(parameters(), own.window.data() + 1, factor, {at_, gradient.data()});
        }
    });
    return std::accumulate(loss.begin(), loss.end(), 0.0) / static_cast<double>(settings_.batch * context);
}

void trainer::apply_gradient()
{
    // Blocks never cross a tensor, so that each knows whether it decays.
    struct span {
        int64 first, count;
        bool decays;
    };
    std::vector<span> blocks;
    for (const tensor_place& p : at_.places())
        for (int64 i = p.offset; i < p.end(); i += gradient_block)
            blocks.push_back({i, std::min(gradient_block, p.end() - i), p.is_matrix()});
    const auto count = static_cast<int64>(blocks.size());

    std::vector<double> squares(blocks.size());
    pool_(count, [&](int64 b, int) {
        const span& s = blocks[static_cast<std::size_t>(b)];
        float* const sum = gradients_[0].data() + s.first;
        for (std::size_t shard = 1; shard < gradients_.size(); ++shard) {
            const float* const g = gradients_[shard].data() + s.first;
            for (int64 i = 0; i < s.count; ++i) sum[i] += g[i];
        }
        double square = 0;
        for (int64 i = 0; i < s.count; ++i) square += static_cast<double>(sum[i]) * static_cast<double>(sum[i]);
        squares[static_cast<std::size_t>(b)] = square;
    });
    const double norm = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
    const float clip = norm > 1 ? static_cast<float>(1 / norm) : 1.0f;

    const int64 step = state_.step + 1;
    const adamw rule(step, learning_rate(step, settings_.warm_up(), settings_.steps, settings_.rate), settings_.decay);
    pool_(count, [&](int64 b, int) {
        const span& s = blocks[static_cast<std::size_t>(b)];
        float* const g = gradients_[0].data() + s.first;
        for (int64 i = 0; i < s.count; ++i) g[i] *= clip;
        rule.update(state_.parameters.data() + s.first, state_.moment1.data() + s.first,
                    state_.moment2.data() + s.first, g, s.count, s.decays);
    });
}

template <class Draw>
double trainer::mean_loss(int64 windows, Draw draw)
{
    std::vector<double> loss(static_cast<std::size_t>(windows));
    pool_(windows, [&](int64 i, int w) {
        worker& own = workers_[static_cast<std::size_t>(w)];
        draw(i, own.window.data(), settings_.shape.context + 1);
        own.model.forward(parameters(), own.window.data(), settings_.shape.context);
        loss[static_cast<std::size_t>(i)] = own.model.loss(own.window.data() + 1);
    });
    return std::accumulate(loss.begin(), loss.end(), 0.0) / static_cast<double>(windows * settings_.shape.context);
}

double trainer::validation_loss(int64 windows)
{
    return mean_loss(windows, [&](int64 i, int* tokens, int64 count) { task_.draw_validation(i, tokens, count); });
}

double trainer::training_loss(int64 windows)
{
    return mean_loss(windows, [&](int64 i, int* tokens, int64 count) {
        task_.draw(
            random_stream{static_cast<std::uint64_t>(settings_.seed), probe_stream, static_cast<std::uint64_t>(i)},
            tokens, count);
    });
}

}  // namespace twins
