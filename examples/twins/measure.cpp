// SPDX-License-Identifier: MIT
#include "measure.hpp"

#include "quantise.hpp"
#include "transformer.hpp"

#include <heed/measure/activations.hpp>
#include <heed/measure/heads.hpp>

#include <algorithm>
#include <limits>

namespace twins {
namespace {

constexpr double silent_share = 0.95;                     // of the tokens of a dead head
constexpr double histogram_low = -5, histogram_high = 6;  // of log10 |x|: massive activations are in it
constexpr std::size_t histogram_bins = 110;

/// What a block does on one window, or on all of them.
struct layer_sample {
    double sinks_02 = 0, sinks_03 = 0, sinks_02_by_sum = 0,
           sinks_03_by_sum = 0;        // sums over windows of shares of heads
    std::vector<double> first_token;   // by head, means over rows
    std::vector<int64> silent_tokens;  // by head
    int64 zeros = 0, attended = 0;     // weights of all heads
    heed::moments stream;              // of the residual stream behind it
    std::vector<double> histogram = std::vector<double>(histogram_bins);

    void add(const layer_sample& o)
    {
        sinks_02 += o.sinks_02;
        sinks_03 += o.sinks_03;
        sinks_02_by_sum += o.sinks_02_by_sum;
        sinks_03_by_sum += o.sinks_03_by_sum;
        zeros += o.zeros;
        attended += o.attended;
        stream.join(o.stream);
        const auto add_to = [](auto& to, const auto& from) {
            to.resize(from.size());
            for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
        };
        add_to(first_token, o.first_token);
        add_to(silent_tokens, o.silent_tokens);
        add_to(histogram, o.histogram);
    }
};

struct window_sample {
    double loss = 0;
    std::vector<layer_sample> layers;
};

template <class N>
N sum(const std::vector<N>& x)
{
    N total = 0;
    for (const N n : x) total += n;
    return total;
}

layer_sample observe_layer(transformer<float>& model, const attention<float>& attend, const tensors<const float>& w,
                           int64 layer)
{
    const attention_tensors<float> of = model.attention_of_block(layer);
    const int64 heads = of.q.size.heads, rows = of.q.size.tokens;
    const auto count = static_cast<std::size_t>(heads * rows);
    std::vector<float> first(count), total(count);
    std::vector<int64> zeros(count), attended(count);
    heed::observations<float> wanted;
    wanted.first_token = first.data();
    wanted.total = total.data();
    wanted.zeros = zeros.data();
    wanted.attended = attended.data();
    attend.observe(of, transformer<float>::learned(w, layer), wanted);

    layer_sample s;
    s.sinks_02 = heed::sink_rate(first.data(), heads, rows, 0.2);
    s.sinks_03 = heed::sink_rate(first.data(), heads, rows, 0.3);
    s.sinks_02_by_sum = heed::sink_rate(first.data(), total.data(), heads, rows, 0.2);
    s.sinks_03_by_sum = heed::sink_rate(first.data(), total.data(), heads, rows, 0.3);
    s.zeros = sum(zeros);
    s.attended = sum(attended);
    for (int64 h = 0; h < heads; ++h) {
        double mean = 0;
        for (int64 i = h * rows; i < (h + 1) * rows; ++i)
            mean += static_cast<double>(first[static_cast<std::size_t>(i)]) / static_cast<double>(rows);
        s.first_token.push_back(mean);
        s.silent_tokens.push_back(heed::silent_tokens(of.out, h));
    }
    const matrix<float>& x = model.stream_after(layer);
    s.stream.add(x.data(), x.size());
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double power = std::log10(std::abs(static_cast<double>(x.data()[i])));
        const double place = (power - histogram_low) / (histogram_high - histogram_low);
        if (place >= 0 && place < 1) ++s.histogram[static_cast<std::size_t>(place * histogram_bins)];
    }
    return s;
}

/// Runs `look(n, model, attend, weights, loss)` for every window, spread over threads.
template <class Look>
void for_each_window(const trained_model& m, const std::vector<float>& parameters, const task& t, int64 windows,
                     heed::thread_pool& pool, Look look)
{
    const auto attend = make_attention(m.beside.normalizer, m.shape.context);
    const tensors<const float> w(m.at, parameters.data());
    std::vector<transformer<float>> models(static_cast<std::size_t>(pool.concurrency()),
                                           transformer<float>(m.shape, *attend));
    pool(windows, [&](int64 n, int worker) {
        std::vector<int> window(static_cast<std::size_t>(m.shape.context + 1));
        t.draw_validation(n, window.data(), m.shape.context + 1);
        transformer<float>& model = models[static_cast<std::size_t>(worker)];
        model.forward(w, window.data(), m.shape.context);
        look(static_cast<std::size_t>(n), model, *attend, w, model.loss(window.data() + 1));
    });
}

double mean_loss(const trained_model& m, const std::vector<float>& parameters, const task& t, int64 windows,
                 heed::thread_pool& pool)
{
    std::vector<double> loss(static_cast<std::size_t>(windows));
    for_each_window(m, parameters, t, windows, pool,
                    [&](std::size_t n, auto&, const auto&, const auto&, double l) { loss[n] = l; });
    return sum(loss) / static_cast<double>(windows * m.shape.context);
}

layer_report report_of(const layer_sample& all, int64 windows)
{
    layer_report r{};
    r.sparsity = heed::sparsity(&all.zeros, &all.attended, 1);
    r.kurtosis = all.stream.kurtosis();
    r.largest = std::max(-all.stream.lowest(), all.stream.highest());
    for (const double first : all.first_token) r.first_token_weight.push_back(first / static_cast<double>(windows));
    r.activations = {histogram_low, histogram_high, all.histogram};
    return r;
}

/// Of each layer the head that looks at the first token most.
std::vector<attention_picture> maps_of(const trained_model& m, const task& t, const std::vector<layer_report>& layers)
{
    const auto attend = make_attention(m.beside.normalizer, m.shape.context);
    transformer<float> model(m.shape, *attend);
    const int64 tokens = std::min(map_tokens, m.shape.context);
    std::vector<int> window(static_cast<std::size_t>(tokens));
    t.draw_validation(0, window.data(), tokens);
    model.forward(m.weights(), window.data(), tokens);
    std::vector<attention_picture> maps;
    for (int64 l = 0; l < m.shape.layers; ++l) {
        const std::vector<double>& first = layers[static_cast<std::size_t>(l)].first_token_weight;
        const auto head = std::max_element(first.begin(), first.end()) - first.begin();
        maps.push_back({static_cast<int>(l), static_cast<int>(head), static_cast<int>(tokens),
                        std::vector<float>(static_cast<std::size_t>(tokens * tokens))});
        attend->map(model.attention_of_block(l), transformer<float>::learned(m.weights(), l), head,
                    maps.back().weights.data());
    }
    return maps;
}

}  // namespace

twin_report measure(const trained_model& m, const task& t, int64 windows, heed::thread_pool& pool)
{
    std::vector<window_sample> samples(static_cast<std::size_t>(windows));
    for_each_window(m, m.parameters, t, windows, pool,
                    [&](std::size_t n, transformer<float>& model, const attention<float>& attend,
                        const tensors<const float>& w, double loss) {
                        samples[n].loss = loss;
                        for (int64 l = 0; l < m.shape.layers; ++l)
                            samples[n].layers.push_back(observe_layer(model, attend, w, l));
                    });
    twin_report r{};
    r.normalizer = m.beside.normalizer;
    r.formula = normalizer_named(r.normalizer).formula;
    r.settings = m.all_but_seed();
    r.seed = m.option("--seed", 0);
    r.curve_windows = curve_windows(m);
    r.training_tokens = std::atoll(m.beside.fact("tokens").c_str());
    const std::string training = m.beside.fact("training-loss");
    r.training_loss =
        training.empty() ? std::numeric_limits<double>::quiet_NaN() : std::strtod(training.c_str(), nullptr);
    for (const window_sample& s : samples) r.validation_loss += s.loss / static_cast<double>(windows * m.shape.context);

    const double shares = static_cast<double>(windows * m.shape.layers);
    const double heads = static_cast<double>(m.shape.layers * m.shape.heads);
    for (std::size_t l = 0; l < static_cast<std::size_t>(m.shape.layers); ++l) {
        layer_sample all;
        for (const window_sample& s : samples) all.add(s.layers[l]);
        r.layers.push_back(report_of(all, windows));
        r.sink_rate_02 += all.sinks_02 / shares;
        r.sink_rate_03 += all.sinks_03 / shares;
        r.normalised_sink_rate_02 += all.sinks_02_by_sum / shares;
        r.normalised_sink_rate_03 += all.sinks_03_by_sum / shares;
        for (const int64 silent : all.silent_tokens)
            r.dead_heads +=
                (static_cast<double>(silent) >= silent_share * static_cast<double>(windows * m.shape.context)) / heads;
    }
    r.bits = {{32, r.validation_loss}};
    for (const int bits : {8, 4, 3, 2})
        r.bits.push_back({bits, mean_loss(m, quantised_parameters(m.at, m.parameters, bits), t, windows, pool)});
    r.curve = m.curve;
    r.maps = maps_of(m, t, r.layers);
    return r;
}

std::vector<std::string> map_labels(const task& t)
{
    std::vector<int> window(static_cast<std::size_t>(map_tokens));
    t.draw_validation(0, window.data(), map_tokens);
    std::vector<std::string> labels;
    for (const int token : window) labels.push_back(label_of(token));
    return labels;
}

}  // namespace twins
