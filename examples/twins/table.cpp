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

constexpr std::size_t page = 100, label_width = 23, widest_column = 13;

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

std::string loss(double x) { return decimal(x, 4); }
std::string percent(double share) { return decimal(100 * share, 1) + " %"; }
std::string fine_percent(double share) { return decimal(100 * share, 2) + " %"; }
std::string increase(double share) { return std::string(share >= 0 ? "+" : "") + fine_percent(share); }

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

class sheet {
public:
    explicit sheet(const report& r)
        : twins_(r.twins), column_(std::min((page - label_width) / r.twins.size(), widest_column))
    {}

    void line(const std::string& text) { text_ += text + '\n'; }

    /// A text of any length.
    void lines(const std::string& text, const std::string& before_a_break = "")
    {
        const std::vector<std::string> all = wrapped(text, page - 6, " ");
        for (std::size_t i = 0; i < all.size(); ++i)
            line((i == 0 ? "" : "    ") + all[i] + (i + 1 < all.size() ? before_a_break : ""));
    }

    void names(const std::vector<std::string>& all)
    {
        std::vector<std::vector<std::string>> headings;
        std::size_t height = 0;
        for (const std::string& name : all) {
            headings.push_back(wrapped(name, column_ - 1, " -"));
            height = std::max(height, headings.back().size());
        }
        for (std::size_t i = 0; i < height; ++i) {
            std::string row(label_width, ' ');
            for (const std::vector<std::string>& h : headings)
                row += i + h.size() < height ? std::string(column_, ' ') : aligned(h[i + h.size() - height]);
            line(row.substr(0, row.find_last_not_of(' ') + 1));
        }
    }

    /// A twin for which `cell` knows nothing has a dash.
    void row(const std::string& label, const std::function<std::optional<std::string>(const twin_report&)>& cell)
    {
        std::string text = "  " + label;
        text.resize(label_width, ' ');
        for (const twin_report& t : twins_) text += aligned(cell(t).value_or("-"));
        line(text);
    }

    template <class Written>
    void row(const std::string& label, double twin_report::*field, Written written)
    {
        row(label, [&](const twin_report& t) { return written(t.*field); });
    }

    template <class Written>
    void rows_by_layer(double layer_report::*field, Written written)
    {
        for (std::size_t i = 0; i < twins_.front().layers.size(); ++i)
            row("layer " + std::to_string(i), [&](const twin_report& t) { return written(t.layers[i].*field); });
    }

    const std::string& str() const { return text_; }

private:
    std::string aligned(const std::string& cell) const
    {
        return std::string(column_ - std::min(column_, plot::characters_in(cell)), ' ') + cell;
    }

    const std::vector<twin_report>& twins_;
    std::size_t column_;
    std::string text_;
};

std::optional<double> loss_at(const twin_report& t, int bits)
{
    for (const quantised& q : t.bits)
        if (q.bits == bits) return q.loss;
    return std::nullopt;
}

void print_header(sheet& s, const report& r)
{
    s.lines(r.task + ": " + grouped(std::to_string(r.parameters)) + " parameters, context " +
            std::to_string(r.context) + ", " + grouped(std::to_string(r.training_tokens)) + " training tokens a twin");
    s.lines(r.machine);
    s.lines("$ " + r.command, " \\");
    s.line("");
    s.names(names_of(r));
}

void print_heads(sheet& s)
{
    s.line("heads");
    s.row("sinks at 0.2", &twin_report::sink_rate_02, percent);
    s.row("sinks at 0.3", &twin_report::sink_rate_03, percent);
    s.row("sinks at 0.2, by sum", &twin_report::normalised_sink_rate_02, percent);
    s.row("sinks at 0.3, by sum", &twin_report::normalised_sink_rate_03, percent);
    s.row("dead", &twin_report::dead_heads, percent);
}

void print_layers(sheet& s, const report& r)
{
    if (r.twins.front().layers.empty()) return;
    s.line("attention weights that are exactly 0");
    s.row("all layers", [](const twin_report& t) {
        double sum = 0;
        for (const layer_report& layer : t.layers) sum += layer.sparsity;
        return fine_percent(sum / static_cast<double>(t.layers.size()));
    });
    s.rows_by_layer(&layer_report::sparsity, fine_percent);
    s.line("kurtosis of the residual stream (of a normal distribution: 3)");
    s.rows_by_layer(&layer_report::kurtosis, [](double x) { return decimal(x, 1); });
    s.line("largest |x| of the residual stream");
    s.rows_by_layer(&layer_report::largest, [](double x) { return decimal(x, 2); });
}

void print_bits(sheet& s, const report& r)
{
    std::set<int, std::greater<>> all;
    for (const twin_report& t : r.twins)
        for (const quantised& q : t.bits) all.insert(q.bits);
    if (all.empty()) return;
    s.line("validation loss with weights rounded to nearest, row by row");
    for (const int bits : all)
        s.row(bits == 32 ? "as trained" : std::to_string(bits) + " bits", [&](const twin_report& t) {
            const std::optional<double> l = loss_at(t, bits);
            return l ? std::optional(loss(*l)) : std::nullopt;
        });
    s.line("the same, more than as trained");
    for (const int bits : all)
        if (bits != 32)
            s.row(std::to_string(bits) + " bits", [&](const twin_report& t) {
                const std::optional<double> l = loss_at(t, bits);
                const double as_trained = loss_at(t, 32).value_or(t.validation_loss);
                return l ? std::optional(increase(*l / as_trained - 1)) : std::nullopt;
            });
}

}  // namespace

std::string table(const report& r)
{
    check(r);
    sheet s(r);
    print_header(s, r);
    s.line("loss, nats a token");
    s.row("training", &twin_report::training_loss, loss);
    s.row("validation", &twin_report::validation_loss, loss);
    print_heads(s);
    print_layers(s, r);
    print_bits(s, r);
    s.line("");
    s.line("sink: the mean weight on the first token exceeds 0.2 or 0.3; by sum: that weight over the row's sum;");
    s.line("dead: outputs below 1e-6 at 95 % of the tokens");
    return s.str();
}

}  // namespace twins
