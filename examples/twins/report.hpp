// SPDX-License-Identifier: MIT
// What was measured of twins, models that differ in their normalizer alone: the table of the softpick paper
// (Zuhri et al. 2025, arXiv 2504.20966) as data, as text side by side, and as JSON. pictures.hpp draws it.
//
// Shares are fractions, 0 to 1. Losses are nats a token. Layers and heads count from 0. What was not measured
// is NaN ("nan" in the table, null in JSON) or an empty vector.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace twins {

struct loss_curve {
    std::vector<double> step, training, validation;  // of one length; validation: NaN where not measured
};

/// The weights of one head on the sample, that of its layer which gives the first token most: a row a query, causal.
struct attention_picture {
    int layer, head, tokens;     // 20 to 32 tokens are legible
    std::vector<float> weights;  // [tokens][tokens], 0 above the diagonal
};

/// Of log10 |x|: count[i] lies in the i-th of count.size() equal parts of [low, high].
struct histogram {
    double low, high;
    std::vector<double> count;
};

/// Validation loss with every row of the weights rounded to the nearest of 2^bits values; 32: as trained.
struct quantised {
    int bits;
    double loss;
};

struct layer_report {
    double sparsity;                         // share of exact zeros in the causal triangle
    double kurtosis, largest;                // m4 / m2^2 (normal: 3) and max |x| of the residual stream after it
    std::vector<double> first_token_weight;  // mean over rows, by head
    histogram activations;                   // of the residual stream after it
};

struct twin_report {
    std::string normalizer;
    std::string formula;             // p_ij of the normalizer, or nothing
    std::string checkpoint;          // file
    std::string settings;            // how it was trained, but for the seed: what runs of one twin have in common
    std::int64_t seed = 0;           // of weights and batches
    std::int64_t curve_windows = 0;  // validation windows of a point of the curve
    std::int64_t training_tokens = 0;
    double training_loss, validation_loss;
    /// Share of (sample, layer, head) whose mean weight on the first token exceeds 0.2 or 0.3 (Gu et al. 2024,
    /// arXiv 2410.10781); and the same of that mean divided by the mean row sum, as rows need not sum to 1.
    double sink_rate_02, sink_rate_03, normalised_sink_rate_02, normalised_sink_rate_03;
    double dead_heads;  // share of heads whose outputs stay below 1e-6 at 95 % of the tokens
    std::vector<layer_report> layers;
    std::vector<quantised> bits;
    loss_curve curve;
    std::vector<attention_picture> maps;
};

struct report {
    std::string task, command, machine;                       // a line each
    std::int64_t parameters, context, training_tokens;        // of one run; of training those of the first
    std::vector<std::string> labels;                          // tokens of the sample behind the maps
    std::vector<twin_report> twins;                           // runs of one twin or more, alike in layers and heads
    std::int64_t windows = 0;                                 // validation windows behind all but the curves
    double bound = std::numeric_limits<double>::quiet_NaN();  // no loss can be lower; NaN: nobody knows
};

/// A twin: its runs, which differ in their seeds alone.
struct twin {
    std::string name;  // its normalizer; where others have the same, also what tells their checkpoints' paths apart
    std::vector<const twin_report*> runs;
};

/// That are side by side: more go on below, and in further pictures.
inline constexpr std::size_t most_twins = 7;

/// Throws std::invalid_argument with a line that says what is missing or does not fit together.
void check(const report&);

/// The twins in the order of their first runs, which point into the report.
std::vector<twin> twins_of(const report&);

/// The same in parts of up to most_twins twins, all of about one size, whose runs are called by their twins' names.
std::vector<report> parts_of(const report&);

enum class columns { twins, twins_and_difference };

/// The twins side by side, in at most 100 columns; of several seeds the mean and the range. Of two twins there may be a
/// column with what the second has more, by pairs of runs of the same seed where there are any. Throws as check().
std::string table(const report&, columns = columns::twins);

/// All of it. Numbers read back as the same double or float; NaN and infinities are null; bytes that are no
/// UTF-8 become U+FFFD. Throws as check().
std::string to_json(const report&);

/// What to_json() wrote. Throws llama2c::input_error with one line for a file that holds no such thing; where twins was
/// built without nlohmann's JSON, for every file.
report read_report(const std::string& path);

}  // namespace twins
