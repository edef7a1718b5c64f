// SPDX-License-Identifier: MIT
// A report as text: a column a twin, sections of rows under a line that says what they are.
#include "report.hpp"

#include "utf8.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <optional>
#include <set>

namespace twins {
namespace {

constexpr std::size_t page = 100, label_width = 23, narrowest_column = 13;

template <class... T>
std::string printed(const char* format, T... x)
{
    char text[64];
    std::snprintf(text, sizeof(text), format, x...);
    return text;
}

/// 33,511.2: commas between thousands.
std::string grouped(std::string number)
{
    const std::size_t first = number[0] == '-' ? 1 : 0;
    for (std::size_t at = std::min(number.find('.'), number.size()); at > first + 3;) number.insert(at -= 3, 1, ',');
    return number;
}

/// What is too long for a column is 3.35e+12.
std::string decimal(double x, int digits)
{
    if (!std::isfinite(x) || std::abs(x) >= 1e7) return printed("%.2e", x);
    return grouped(printed("%.*f", digits, x));
}

std::string whole(double x) { return decimal(x, 0); }
std::string loss(double x) { return decimal(x, 4); }
std::string percent(double share) { return decimal(100 * share, 1) + " %"; }
std::string fine_percent(double share) { return decimal(100 * share, 2) + " %"; }
std::string increase(double share) { return std::string(share >= 0 ? "+" : "") + fine_percent(share); }
std::string statistic(double x) { return decimal(x, 1); }
std::string amount(double x) { return decimal(x, 2); }

/// Lines of at most `width`, broken behind one of `gaps` where there is one.
std::vector<std::string> wrapped(std::string text, std::size_t width, const char* gaps)
{
    std::vector<std::string> lines;
    while (text.size() > width) {
        const std::size_t gap = text.find_last_of(gaps, width - 1);
        const std::size_t end = gap == std::string::npos ? width : gap + 1;
        lines.push_back(text.substr(0, text[end - 1] == ' ' ? end - 1 : end));
        text.erase(0, end);
    }
    lines.push_back(text);
    return lines;
}

/// Of several seeds the mean, then the range where they differ; a twin for which nothing is known has a dash.
std::string cell_of(const std::vector<double>& seeds, std::string (*written)(double))
{
    if (seeds.empty()) return "-";
    double mean = 0, low = seeds[0], high = seeds[0];
    for (const double x : seeds) {
        mean += x / static_cast<double>(seeds.size());
        low = std::min(low, x);
        high = std::max(high, x);
    }
    if (seeds.size() == 1) return written(seeds[0]);
    const auto bare = [&](double x) {
        const std::string text = written(x);
        return text.substr(0, text.find(" %"));
    };
    if (written(low) == written(high)) return written(mean);
    return written(mean) + " (" + bare(low) + " to " + bare(high) + ")";
}

/// What is measured of a run; nothing: it was not.
using measured = std::function<std::optional<double>(const twin_report&)>;

std::vector<double> all_of(const twin& t, const measured& of)
{
    std::vector<double> seeds;
    for (const twin_report* run : t.runs)
        if (const std::optional<double> x = of(*run)) seeds.push_back(*x);
    return seeds;
}

/// What the second twin has more than the first: by pairs of runs of the same seed, or of means where there are none.
std::vector<double> difference_of(const twin& first, const twin& second, const measured& of)
{
    std::vector<double> pairs;
    for (const twin_report* a : first.runs)
        for (const twin_report* b : second.runs)
            if (a->seed == b->seed)
                if (const auto x = of(*a), y = of(*b); x && y) pairs.push_back(*y - *x);
    const std::vector<double> a = all_of(first, of), b = all_of(second, of);
    if (!pairs.empty() || a.empty() || b.empty()) return pairs;
    const auto mean = [](const std::vector<double>& all) {
        double sum = 0;
        for (const double x : all) sum += x;
        return sum / static_cast<double>(all.size());
    };
    return {mean(b) - mean(a)};
}

/// The same, signed.
std::string difference_cell(const std::vector<double>& pairs, std::string (*written)(double))
{
    if (pairs.empty()) return "-";
    std::string text = cell_of(pairs, written);
    double sum = 0;
    for (const double x : pairs) sum += x;
    if (text[0] != '+' && text[0] != '-' && sum > 0) text.insert(0, "+");
    return text;
}

/// Lines of a table: columns are as wide as their cells ask for and the page allows; longer cells go on below.
class sheet {
public:
    sheet(const report& r, columns which)
        : twins_(twins_of(r)), has_difference_(which == columns::twins_and_difference && twins_.size() == 2)
    {}

    const std::vector<twin>& twins() const { return twins_; }

    void line(const std::string& text) { lines_.push_back({text, {}}); }

    /// A text of any length.
    void lines(const std::string& text, const std::string& before_a_break = "")
    {
        const std::vector<std::string> all = wrapped(text, page - 6, " ");
        for (std::size_t i = 0; i < all.size(); ++i)
            line((i == 0 ? "" : "    ") + all[i] + (i + 1 < all.size() ? before_a_break : ""));
    }

    /// Their place is here, above the columns.
    void names() { names_at_ = lines_.size(); }

    /// `more` may add to the cell of a twin.
    void row(const std::string& label, const measured& of, std::string (*written)(double),
             const std::function<std::string(const std::vector<double>& seeds)>& more = {})
    {
        lines_.push_back({"  " + label, {}});
        for (const twin& t : twins_) {
            const std::vector<double> seeds = all_of(t, of);
            lines_.back().cells.push_back(cell_of(seeds, written) + (more ? more(seeds) : ""));
        }
        if (has_difference_)
            lines_.back().cells.push_back(difference_cell(difference_of(twins_[0], twins_[1], of), written));
    }
    void row(const std::string& label, double twin_report::*field, std::string (*written)(double))
    {
        row(
            label, [&](const twin_report& t) { return t.*field; }, written);
    }

    void rows_by_layer(double layer_report::*field, std::string (*written)(double))
    {
        for (std::size_t i = 0; i < twins_.front().runs.front()->layers.size(); ++i)
            row(
                "layer " + std::to_string(i), [&](const twin_report& t) { return t.layers[i].*field; }, written);
    }

    std::string str() const
    {
        std::size_t column = narrowest_column;
        for (const text_line& l : lines_)
            for (const std::string& cell : l.cells) column = std::max(column, plot::characters_in(cell) + 2);
        column = std::min(column, (page - label_width) / (twins_.size() + has_difference_));
        std::string text;
        for (std::size_t i = 0; i <= lines_.size(); ++i) {
            if (i == names_at_) text += headings(column);
            if (i < lines_.size()) text += in_columns(lines_[i], column);
        }
        return text;
    }

private:
    struct text_line {
        std::string label;
        std::vector<std::string> cells;  // none: just a text
    };

    static std::string aligned(const std::string& cell, std::size_t column)
    {
        return std::string(column - std::min(column, plot::characters_in(cell)), ' ') + cell;
    }

    static std::string in_columns(const text_line& l, std::size_t column)
    {
        if (l.cells.empty()) return l.label + '\n';
        std::vector<std::vector<std::string>> cells;
        std::size_t height = 0;
        for (const std::string& cell : l.cells) {
            cells.push_back(wrapped(cell, column - 1, " "));
            height = std::max(height, cells.back().size());
        }
        std::string text;
        for (std::size_t i = 0; i < height; ++i) {
            std::string row = i == 0 ? l.label : "";
            row.resize(label_width, ' ');
            for (const auto& cell : cells) row += aligned(i < cell.size() ? cell[i] : "", column);
            text += row + '\n';
        }
        return text;
    }

    std::string headings(std::size_t column) const
    {
        std::vector<std::vector<std::string>> all;
        std::size_t height = 0;
        for (const twin& t : twins_) all.push_back(wrapped(t.name, column - 1, " -/"));
        if (has_difference_) all.push_back({"difference"});
        for (const auto& lines_of_name : all) height = std::max(height, lines_of_name.size());
        std::string text;
        for (std::size_t i = 0; i < height; ++i) {
            std::string row(label_width, ' ');
            for (const std::vector<std::string>& h : all)
                row += aligned(i + h.size() < height ? "" : h[i + h.size() - height], column);
            text += row.substr(0, row.find_last_not_of(' ') + 1) + '\n';
        }
        return text;
    }

    std::vector<twin> twins_;
    bool has_difference_;
    std::vector<text_line> lines_;
    std::size_t names_at_ = 0;
};

std::optional<double> loss_at(const twin_report& t, int bits)
{
    for (const quantised& q : t.bits)
        if (q.bits == bits) return q.loss;
    return std::nullopt;
}

void print_header(sheet& s, const report& r)
{
    std::size_t fewest = r.twins.size(), most = 0;
    for (const twin& t : twins_of(r)) {
        fewest = std::min(fewest, t.runs.size());
        most = std::max(most, t.runs.size());
    }
    const auto other = [&](const twin_report& t) { return t.training_tokens != r.twins.front().training_tokens; };
    std::string sizes =
        r.task + ": " + grouped(std::to_string(r.parameters)) + " parameters, context " + std::to_string(r.context);
    if (std::none_of(r.twins.begin(), r.twins.end(), other))
        sizes +=
            ", " + grouped(std::to_string(r.training_tokens)) + " training tokens a " + (most > 1 ? "run" : "twin");
    s.lines(sizes);
    if (most > 1)
        s.line("mean (lowest to highest) of " + (fewest < most ? std::to_string(fewest) + " to " : "") +
               std::to_string(most) + " seeds");
    s.lines(r.machine);
    s.lines("$ " + r.command, " \\");
}

/// Shares of the heads, and how many heads they are.
void print_heads(sheet& s)
{
    std::size_t heads = 0;
    for (const layer_report& layer : s.twins().front().runs.front()->layers) heads += layer.first_token_weight.size();
    s.line("heads");
    const auto row = [&](const char* label, double twin_report::*field) {
        s.row(
            label, [&](const twin_report& run) { return run.*field; }, percent,
            [&](const std::vector<double>& shares) -> std::string {
                double sum = 0;
                for (const double x : shares) sum += x;
                const double count = sum / static_cast<double>(shares.size()) * static_cast<double>(heads);
                if (heads == 0 || !std::isfinite(count)) return "";
                return printed(std::abs(count - std::round(count)) < 0.05 ? ", %.0f" : ", %.1f", count) + " of " +
                       std::to_string(heads);
            });
    };
    row("sinks at 0.2", &twin_report::sink_rate_02);
    row("sinks at 0.3", &twin_report::sink_rate_03);
    row("sinks at 0.2, by sum", &twin_report::normalised_sink_rate_02);
    row("sinks at 0.3, by sum", &twin_report::normalised_sink_rate_03);
    row("dead", &twin_report::dead_heads);
}

void print_layers(sheet& s)
{
    if (s.twins().front().runs.front()->layers.empty()) return;
    s.line("attention weights that are exactly 0");
    s.row(
        "all layers",
        [](const twin_report& t) {
            double sum = 0;
            for (const layer_report& layer : t.layers) sum += layer.sparsity;
            return sum / static_cast<double>(t.layers.size());
        },
        fine_percent);
    s.rows_by_layer(&layer_report::sparsity, fine_percent);
    s.line("kurtosis of the residual stream (of a normal distribution: 3)");
    s.rows_by_layer(&layer_report::kurtosis, statistic);
    s.line("largest |x| of the residual stream");
    s.rows_by_layer(&layer_report::largest, amount);
}

void print_bits(sheet& s, const report& r)
{
    std::set<int, std::greater<>> all;
    for (const twin_report& t : r.twins)
        for (const quantised& q : t.bits) all.insert(q.bits);
    if (all.empty()) return;
    s.line("validation loss with weights rounded to nearest, row by row");
    for (const int bits : all)
        s.row(
            bits == 32 ? "as trained" : std::to_string(bits) + " bits",
            [&](const twin_report& t) { return loss_at(t, bits); }, loss);
    s.line("the same, more than as trained");
    for (const int bits : all)
        if (bits != 32)
            s.row(
                std::to_string(bits) + " bits",
                [&](const twin_report& t) {
                    const std::optional<double> l = loss_at(t, bits);
                    const double as_trained = loss_at(t, 32).value_or(t.validation_loss);
                    return l ? std::optional(*l / as_trained - 1) : std::nullopt;
                },
                increase);
}

void print_rows(sheet& s, const report& r)
{
    s.line("");
    s.names();
    const auto other = [&](const twin_report& t) { return t.training_tokens != r.twins.front().training_tokens; };
    if (std::any_of(r.twins.begin(), r.twins.end(), other)) {
        s.line("trained with");
        s.row(
            "tokens", [](const twin_report& t) { return static_cast<double>(t.training_tokens); }, whole);
    }
    s.line("loss, nats a token");
    s.row("training", &twin_report::training_loss, loss);
    s.row("validation", &twin_report::validation_loss, loss);
    print_heads(s);
    print_layers(s);
    print_bits(s, r);
}

/// What the normalizers are, where it is known.
void print_formulas(sheet& s, const report& r)
{
    std::vector<std::pair<std::string, std::string>> formulas;
    std::size_t widest = 0;
    for (const twin_report& t : r.twins) {
        const std::pair line{t.normalizer, t.formula};
        if (t.formula.empty() || std::count(formulas.begin(), formulas.end(), line)) continue;
        formulas.push_back(line);
        widest = std::max(widest, t.normalizer.size());
    }
    if (formulas.empty()) return;
    s.line("weights of a row with scores s");
    for (auto& [name, formula] : formulas) {
        name.resize(widest + 2, ' ');
        s.lines("  " + name + formula);
    }
}

}  // namespace

std::string table(const report& r, columns which)
{
    check(r);
    std::string text;
    const std::vector<report> parts = parts_of(r);
    for (const report& part : parts) {
        sheet s(part, which);
        if (&part == &parts.front()) print_header(s, r);
        print_rows(s, part);
        if (&part == &parts.back()) {
            s.line("");
            s.line("sink: the mean weight on a window's first token exceeds 0.2 or 0.3, counted in each window;");
            s.line("by sum: that weight over the row's sum; dead: outputs below 1e-6 at 95 % of the tokens");
            if (which == columns::twins_and_difference && r.twins.size() > 1 && twins_of(r).size() == 2)
                s.line(
                    "difference: what the second has more (shares: in points), by pairs of runs of one seed, if any");
            print_formulas(s, r);
        }
        text += s.str();
    }
    return text;
}

}  // namespace twins
