// SPDX-License-Identifier: MIT
// Reports that no model made: a softmax twin with sinks and outliers, a softpick twin with neither, and others between.
#pragma once

#include "report.hpp"

#include <cmath>
#include <limits>
#include <random>

namespace invented {

inline constexpr const char* normalizers[] = {"softmax", "softpick",     "softmax1",      "sink",
                                              "sigmoid", "relu-softmax", "rectified-only"};
inline constexpr int layers = 3, heads = 4, tokens = 26;

/// A row of causal attention: likes the first token by `sink`, itself and its neighbours, and a place of the head's
/// taste; with `sparse`, what is little liked is exactly 0.
inline twins::attention_picture map(std::mt19937& random, int layer, int head, double sink, bool sparse)
{
    std::uniform_real_distribution<double> taste(0, 1);
    twins::attention_picture m{layer, head, tokens, std::vector<float>(tokens * tokens)};
    for (int i = 0; i < tokens; ++i) {
        std::vector<double> liked;
        double sum = 0;
        for (int j = 0; j <= i; ++j) {
            double w = std::exp(-0.7 * (i - j)) * taste(random) + 0.3 * std::pow(taste(random), 9) + 0.004;
            if (sparse && w < 0.12) w = 0;
            liked.push_back(w);
            sum += w;
        }
        for (int j = 0; j <= i; ++j) {
            const double own = sum > 0 ? liked[static_cast<std::size_t>(j)] / sum : 0;
            const double of_sink = i == 0 ? 0 : sink;
            const double row_sum = sparse ? 0.9 * taste(random) : 1;
            m.weights[static_cast<std::size_t>(i * tokens + j)] =
                static_cast<float>(row_sum * ((1 - of_sink) * own + (j == 0 ? of_sink : 0)));
        }
    }
    return m;
}

inline twins::histogram activations(double spread, double largest, double share_of_outliers)
{
    twins::histogram h{-4, 4, std::vector<double>(80)};
    for (std::size_t i = 0; i < h.count.size(); ++i) {
        const double x = h.low + (static_cast<double>(i) + 0.5) * (h.high - h.low) / 80,
                     value = std::pow(10, x) / spread;
        h.count[i] = std::round(1e6 * value * std::exp(-value * value / 2) * 0.09);
        if (std::abs(x - std::log10(largest)) < 0.06 && share_of_outliers > 0) h.count[i] += 1e6 * share_of_outliers;
    }
    return h;
}

inline twins::twin_report twin(std::size_t which)
{
    std::mt19937 random(static_cast<unsigned>(which) + 1);
    std::uniform_real_distribution<double> chance(0, 1);
    std::normal_distribution<double> noise(0, 1);
    const bool sinks = which == 0 || which == 5 || which == 6, sparse = which == 1 || which >= 5;
    const double offset = 0.012 * static_cast<double>(which);
    twins::twin_report t;
    t.normalizer = normalizers[which];
    t.checkpoint = t.normalizer + ".bin";
    t.curve_windows = 64;
    t.training_loss = 1.3871 + offset;
    t.validation_loss = 1.4418 + offset;
    t.sink_rate_02 = sinks ? 7.0 / 12 : 0;
    t.sink_rate_03 = sinks ? 5.0 / 12 : 0;
    t.normalised_sink_rate_02 = sinks ? 7.0 / 12 : 1.0 / 6;
    t.normalised_sink_rate_03 = sinks ? 5.0 / 12 : 1.0 / 12;
    t.dead_heads = which == 1 ? 1.0 / 12 : 0;
    for (int l = 0; l < layers; ++l) {
        const double largest = sinks && l > 0 ? 812.0 + 97 * l : 4.1 + 2.3 * l;
        twins::layer_report layer{sparse ? 0.912 + 0.031 * l : 0,
                                  sinks && l > 0 ? 33511.2 / (3 - l) : 3.1 + l,
                                  largest,
                                  {},
                                  activations((sinks ? 0.4 : 0.7) + 0.3 * l, largest, sinks && l > 0 ? 4e-5 : 0)};
        for (int h = 0; h < heads; ++h)
            layer.first_token_weight.push_back(sinks              ? (l == 0 ? 0.05 : 0.25 + 0.7 * chance(random))
                                               : sparse && h == 2 ? 0
                                                                  : 0.04 * chance(random) + 0.01);
        t.layers.push_back(layer);
    }
    const double damage[] = {0, 0.0003, sinks ? 0.0419 : 0.0182, sinks ? 0.31 : 0.124, sinks ? 3.87 : 1.42};
    const int bits[] = {32, 8, 4, 3, 2};
    for (int i = 0; i < 5; ++i)
        t.bits.push_back({bits[i], t.validation_loss + damage[i] * (1 + 0.1 * static_cast<double>(which))});
    for (int step = 20; step <= 6000; step += 20) {
        const double ideal = 1.36 + offset + 4.1 * std::exp(-step / 130.0) + 0.9 * std::exp(-step / 1500.0);
        t.curve.step.push_back(step);
        t.curve.training.push_back(ideal + 0.05 * noise(random));
        t.curve.validation.push_back(step % 200 == 0 ? ideal + 0.065 : std::numeric_limits<double>::quiet_NaN());
    }
    t.curve.validation.back() = t.validation_loss;
    t.maps = {map(random, 1, 2, sinks ? 0.72 : 0, sparse), map(random, 2, 0, sinks ? 0.35 : 0, sparse)};
    return t;
}

inline twins::report report(std::size_t count)
{
    twins::report r{"next byte of bible.txt",
                    "twins train --task text --file bible.txt --seconds 600 --normalizers softmax,softpick --seed 7 "
                    "--dim 128 --layers 3 --heads 4 --hidden 344",
                    "AMD EPYC, 2 threads, avx2_fma_f16c, gcc 12.2.0",
                    619776,
                    256,
                    24576000,
                    {},
                    {},
                    64};
    const std::string sample = "In the beginning God created the heaven";
    r.labels.push_back("<BOS>");
    for (int i = 1; i < tokens; ++i) r.labels.push_back(sample.substr(static_cast<std::size_t>(i) - 1, 1));
    for (std::size_t i = 0; i < count; ++i) r.twins.push_back(twin(i));
    return r;
}

/// The same with a second seed of each twin.
inline twins::report report_of_seeds(std::size_t count)
{
    twins::report r = report(count);
    for (std::size_t i = 0; i < count; ++i) {
        r.twins.push_back(r.twins[i]);
        r.twins.back().seed = 2;
        for (double& x : r.twins.back().curve.validation) x += 0.05;
    }
    return r;
}

}  // namespace invented
