// SPDX-License-Identifier: MIT
// A report as JSON, by the names of its structs.
#include "report.hpp"

#include "utf8.hpp"

#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdio>

namespace twins {
namespace {

/// Writes values one after another and puts the commas between them.
class json {
public:
    template <class Number>
    requires std::integral<Number> || std::floating_point<Number>
    void value(Number x)
    {
        separate();
        if (std::floating_point<Number> && !std::isfinite(static_cast<double>(x))) {
            text_ += "null";
            return;
        }
        char digits[64];
        text_.append(digits, std::to_chars(digits, digits + sizeof(digits), x).ptr);
        if (std::floating_point<Number> && x == 0 && std::signbit(static_cast<double>(x)))
            text_ += ".0";  // "-0" is a whole number to readers, and 0
    }

    void value(const std::string& s)
    {
        separate();
        quote(s);
    }

    template <class T>
    void value(const std::vector<T>& list)
    {
        open('[');
        for (const T& x : list) value(x);
        close(']');
    }

    void value(const quantised& q)
    {
        open('{');
        field("bits", q.bits);
        field("loss", q.loss);
        close('}');
    }

    void value(const histogram& h)
    {
        open('{');
        field("low", h.low);
        field("high", h.high);
        field("count", h.count);
        close('}');
    }

    void value(const layer_report& layer)
    {
        next_line();
        open('{');
        field("sparsity", layer.sparsity);
        field("kurtosis", layer.kurtosis);
        field("largest", layer.largest);
        field("first_token_weight", layer.first_token_weight);
        field("activations", layer.activations);
        close('}');
    }

    void value(const loss_curve& c)
    {
        open('{');
        field("step", c.step);
        next_line();
        field("training", c.training);
        next_line();
        field("validation", c.validation);
        close('}');
    }

    void value(const attention_picture& map)
    {
        next_line();
        open('{');
        field("layer", map.layer);
        field("head", map.head);
        field("tokens", map.tokens);
        field("weights", map.weights);
        close('}');
    }

    void value(const twin_report& t)
    {
        next_line();
        open('{');
        field("normalizer", t.normalizer);
        field("formula", t.formula);
        field("checkpoint", t.checkpoint);
        field("settings", t.settings);
        field("seed", t.seed);
        field("curve_windows", t.curve_windows);
        field("training_tokens", t.training_tokens);
        field("training_loss", t.training_loss);
        field("validation_loss", t.validation_loss);
        field("sink_rate_02", t.sink_rate_02);
        field("sink_rate_03", t.sink_rate_03);
        field("normalised_sink_rate_02", t.normalised_sink_rate_02);
        field("normalised_sink_rate_03", t.normalised_sink_rate_03);
        field("dead_heads", t.dead_heads);
        next_line();
        field("layers", t.layers);
        next_line();
        field("bits", t.bits);
        next_line();
        field("curve", t.curve);
        next_line();
        field("maps", t.maps);
        close('}');
    }

    void value(const report& r)
    {
        open('{');
        field("format", std::string("heed twins report 1"));
        field("task", r.task);
        field("command", r.command);
        field("machine", r.machine);
        field("parameters", r.parameters);
        field("context", r.context);
        field("training_tokens", r.training_tokens);
        field("windows", r.windows);
        field("bound", r.bound);
        next_line();
        field("labels", r.labels);
        next_line();
        field("twins", r.twins);
        close('}');
        text_ += '\n';
    }

    const std::string& str() const { return text_; }

private:
    template <class T>
    void field(const char* name, const T& x)
    {
        separate();
        quote(name);
        text_ += ": ";
        first_ = true;
        value(x);
    }
    void open(char bracket)
    {
        separate();
        text_ += bracket;
        first_ = true;
    }
    void close(char bracket)
    {
        text_ += bracket;
        first_ = false;
    }
    void next_line()
    {
        separate();
        text_ += '\n';
        first_ = true;
    }
    void separate()
    {
        if (!first_) text_ += ", ";
        first_ = false;
    }
    void quote(const std::string& s)
    {
        text_ += '"';
        for (const char c : plot::valid_utf8(s)) {
            if (c == '"' || c == '\\') {
                (text_ += '\\') += c;
            } else if (static_cast<unsigned char>(c) < ' ') {
                char escape[8];
                std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
                text_ += escape;
            } else {
                text_ += c;
            }
        }
        text_ += '"';
    }

    std::string text_;
    bool first_ = true;
};

}  // namespace

std::string to_json(const report& r)
{
    check(r);
    json j;
    j.value(r);
    return j.str();
}

}  // namespace twins
