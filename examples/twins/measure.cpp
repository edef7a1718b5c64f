// SPDX-License-Identifier: MIT
#include "measure.hpp"

#include "quantise.hpp"
#include "transformer.hpp"

#include <limits>

namespace twins {
namespace {

constexpr double dead_output = 1e-6, dead_share = 0.95;
constexpr double histogram_low = -5, histogram_high = 3;  // of log10 |x|
constexpr std::size_t histogram_bins = 80;

/// What one head did on one window.
struct head_sample {
    double first_token = 0, total = 0;  // means over rows of p_i0 and of sum_j p_ij
    int64 zeros = 0, attended = 0;      // weights that are exactly 0, of how many
    int64 dead_tokens = 0;              // rows whose every output is below 1e-6
};

/// What one block did on one window: its heads, and moments of the residual stream behind it.
struct layer_sample {
    std::vector<head_sample> heads;
    double sum1 = 0, sum2 = 0, sum3 = 0, sum4 = 0, largest = 0;  // of the powers of x
    std::vector<double> histogram = std::vector<double>(histogram_bins);
};

struct window_sample {
    double loss = 0;
    std::vector<layer_sample> layers;
};

head_sample observe_head(const double* p, const heed::view<float>& out, int64 head)
{
    const int64 tokens = out.size.tokens;
    head_sample s;
    for (int64 i = 0; i < tokens; ++i) {
        const double* const row = p + (head * tokens + i) * tokens;
        s.first_token += row[0] / static_cast<double>(tokens);
        for (int64 j = 0; j <= i; ++j) {
            s.total += row[j] / static_cast<double>(tokens);
            s.zeros += row[j] == 0;
        }
        s.attended += i + 1;
        const float* const o = out.row(0, head, i);
        s.dead_tokens += std::all_of(o, o + out.size.dim, [](float x) { return std::abs(x) < dead_output; });
    }
    return s;
}

layer_sample observe_stream(const matrix<float>& x)
{
    layer_sample s;
    for (Eigen::Index i = 0; i < x.size(); ++i) {
        const double v = static_cast<double>(x.data()[i]), v2 = v * v;
        s.sum1 += v;
        s.sum2 += v2;
        s.sum3 += v2 * v;
        s.sum4 += v2 * v2;
        s.largest = std::max(s.largest, std::abs(v));
        const double place = (std::log10(std::abs(v)) - histogram_low) / (histogram_high - histogram_low);
        if (place >= 0 && place < 1) ++s.histogram[static_cast<std::size_t>(place * histogram_bins)];
    }
    return s;
}

/// Runs `look(model, window)` for every window, spread over threads.
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
        look(n, model, *attend, w, model.loss(window.data() + 1));
    });
}

double mean_loss(const trained_model& m, const std::vector<float>& parameters, const task& t, int64 windows,
                 heed::thread_pool& pool)
{
    std::vector<double> loss(static_cast<std::size_t>(windows));
    for_each_window(m, parameters, t, windows, pool,
                    [&](int64 n, auto&, const auto&, const auto&, double l) { loss[static_cast<std::size_t>(n)] = l; });
    double sum = 0;
    for (const double l : loss) sum += l;
    return sum / static_cast<double>(windows * m.shape.context);
}

double kurtosis_of(const layer_sample& s, double n)
{
    const double mean = s.sum1 / n, m2 = s.sum2 / n - mean * mean;
    const double m4 = s.sum4 / n - 4 * mean * s.sum3 / n + 6 * mean * mean * s.sum2 / n - 3 * mean * mean * mean * mean;
    return m4 / (m2 * m2);
}

/// Sums of all windows, in their order.
layer_report layer_of(const std::vector<window_sample>& samples, std::size_t layer, const config& c)
{
    layer_sample all;
    layer_report r{};
    r.first_token_weight.resize(static_cast<std::size_t>(c.heads));
    int64 zeros = 0, attended = 0;
    for (const window_sample& w : samples) {
        const layer_sample& s = w.layers[layer];
        all.sum1 += s.sum1;
        all.sum2 += s.sum2;
        all.sum3 += s.sum3;
        all.sum4 += s.sum4;
        all.largest = std::max(all.largest, s.largest);
        for (std::size_t b = 0; b < histogram_bins; ++b) all.histogram[b] += s.histogram[b];
        for (std::size_t h = 0; h < s.heads.size(); ++h) {
            r.first_token_weight[h] += s.heads[h].first_token / static_cast<double>(samples.size());
            zeros += s.heads[h].zeros;
            attended += s.heads[h].attended;
        }
    }
    r.sparsity = static_cast<double>(zeros) / static_cast<double>(attended);
    r.kurtosis = kurtosis_of(all, static_cast<double>(samples.size()) * static_cast<double>(c.context * c.dim));
    r.largest = all.largest;
    r.activations = {histogram_low, histogram_high, all.histogram};
    return r;
}

void fill_heads(twin_report& r, const std::vector<window_sample>& samples, const config& c)
{
    const double count = static_cast<double>(samples.size()) * static_cast<double>(c.layers * c.heads);
    double above_02 = 0, above_03 = 0, share_02 = 0, share_03 = 0, dead = 0;
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(c.layers); ++layer)
        for (std::size_t h = 0; h < static_cast<std::size_t>(c.heads); ++h) {
            int64 dead_tokens = 0;
            for (const window_sample& w : samples) {
                const head_sample& s = w.layers[layer].heads[h];
                const double share = s.total > 0 ? s.first_token / s.total : 0;
                above_02 += s.first_token > 0.2;
                above_03 += s.first_token > 0.3;
                share_02 += share > 0.2;
                share_03 += share > 0.3;
                dead_tokens += s.dead_tokens;
            }
            dead += static_cast<double>(dead_tokens) >=
                    dead_share * static_cast<double>(samples.size()) * static_cast<double>(c.context);
        }
    r.sink_rate_02 = above_02 / count;
    r.sink_rate_03 = above_03 / count;
    r.normalised_sink_rate_02 = share_02 / count;
    r.normalised_sink_rate_03 = share_03 / count;
    r.dead_heads = dead / static_cast<double>(c.layers * c.heads);
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
    std::vector<double> p(static_cast<std::size_t>(m.shape.heads * tokens * tokens));
    for (int64 l = 0; l < m.shape.layers; ++l) {
        const std::vector<double>& first = layers[static_cast<std::size_t>(l)].first_token_weight;
        const int64 head = std::max_element(first.begin(), first.end()) - first.begin();
        attend->weights(model.attention_of_block(l), transformer<float>::sinks(m.weights(), l), p.data());
        const double* const of_head = p.data() + head * tokens * tokens;
        maps.push_back({static_cast<int>(l), static_cast<int>(head), static_cast<int>(tokens),
                        std::vector<float>(of_head, of_head + tokens * tokens)});
    }
    return maps;
}

}  // namespace

twin_report measure(const trained_model& m, const task& t, int64 windows, heed::thread_pool& pool)
{
    const config& c = m.shape;
    std::vector<window_sample> samples(static_cast<std::size_t>(windows));
    for_each_window(m, m.parameters, t, windows, pool,
                    [&](int64 n, transformer<float>& model, const attention<float>& attend,
                        const tensors<const float>& w, double loss) {
                        window_sample& s = samples[static_cast<std::size_t>(n)];
                        s.loss = loss;
                        std::vector<double> p(static_cast<std::size_t>(c.heads * c.context * c.context));
                        for (int64 l = 0; l < c.layers; ++l) {
                            const attention_tensors<float> of = model.attention_of_block(l);
                            attend.weights(of, transformer<float>::sinks(w, l), p.data());
                            s.layers.push_back(observe_stream(model.stream_after(l)));
                            for (int64 h = 0; h < c.heads; ++h)
                                s.layers.back().heads.push_back(observe_head(p.data(), of.out, h));
                        }
                    });
    twin_report r{};
    r.normalizer = m.beside.normalizer;
    const std::string training = m.beside.fact("training-loss");
    r.training_loss =
        training.empty() ? std::numeric_limits<double>::quiet_NaN() : std::strtod(training.c_str(), nullptr);
    for (const window_sample& s : samples) r.validation_loss += s.loss / static_cast<double>(windows * c.context);
    for (std::size_t l = 0; l < static_cast<std::size_t>(c.layers); ++l) r.layers.push_back(layer_of(samples, l, c));
    fill_heads(r, samples, c);
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
