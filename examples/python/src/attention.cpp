// SPDX-License-Identifier: MIT
#include "attention.hpp"

#include <cmath>
#include <limits>

namespace {

/// The word's value, or none where it is None or not there.
py::object word(const py::kwargs& words, const char* name)
{
    return words.contains(name) ? py::object(words[name]) : py::none();
}

double number(py::handle value, const std::string& what)
{
    try {
        return py::cast<double>(value);
    } catch (const py::cast_error&) {
        throw py::type_error(what + " must be a number, not " +
                             py::cast<std::string>(py::str(py::type::of(value).attr("__name__"))));
    }
}

std::int64_t whole(py::handle value, const std::string& what)
{
    try {
        if (!PyBool_Check(value.ptr())) return py::cast<std::int64_t>(value);
    } catch (const py::cast_error&) {
    }
    throw py::type_error(what + " must be a whole number, not " + py::cast<std::string>(py::repr(value)));
}

constexpr const char* known_words[] = {"normalizer", "extra",     "sinks", "eps",         "scale",
                                       "softcap",    "alibi",     "bias",  "causal",      "window",
                                       "prefix",     "documents", "mask",  "query_offset"};

}  // namespace

attention::attention(const std::string& verb, const py::kwargs& words)
{
    std::string all;
    for (const char* name : known_words) all += std::string(all.empty() ? "" : ", ") + name;
    for (const auto& item : words) {
        const auto name = py::cast<std::string>(item.first);
        bool is_known = false;
        for (const char* known : known_words) is_known = is_known || name == known;
        if (!is_known) throw py::type_error(verb + ": no argument is called " + name + "; a definition takes " + all);
        if (item.second.is_none()) continue;
        text_ += (text_.empty() ? "" : ", ") + name + "=" +
                 (py::isinstance<py::str>(item.second) || py::isinstance<py::int_>(item.second) ||
                          py::isinstance<py::float_>(item.second) || py::isinstance<py::tuple>(item.second)
                      ? py::cast<std::string>(py::repr(item.second))
                      : std::string("..."));
    }

    read_normalizer(verb, words);
    if (const py::object o = word(words, "scale"); !o.is_none()) scale_ = number(o, verb + ": scale");
    if (const py::object o = word(words, "softcap"); !o.is_none()) {
        softcap_ = number(o, verb + ": softcap");
        if (!(softcap_ > 0))
            throw py::value_error(verb + ": softcap is " + std::to_string(softcap_) + ", must be positive");
    }
    if (const py::object o = word(words, "alibi"); !o.is_none()) {
        slopes_ = float_numbers(o, verb + ": alibi");
        has_slopes_ = true;
    }
    if (const py::object o = word(words, "bias"); !o.is_none()) {
        bias_ = array_of(o, verb + ": bias");
        if (bias_.type != number_type::f32 && bias_.type != number_type::f64)
            throw py::value_error(verb + ": bias is " + bias_.type_name +
                                  ", must be float32, or float64 beside tensors of " +
                                  "float64; a table of bool is a mask");
        bias_table_ = table_of(bias_, verb + ": bias");
    }
    if (const py::object o = word(words, "mask"); !o.is_none()) {
        mask_ = array_of(o, verb + ": mask");
        if (mask_.type != number_type::boolean)
            throw py::value_error(verb + ": mask is " + mask_.type_name +
                                  ", must be bool, True where a key is attended; " +
                                  "numbers that are added to scores are a bias");
        mask_table_ = table_of(mask_, verb + ": mask");
    }
    if (const py::object o = word(words, "causal"); !o.is_none()) read_causal(verb, o);
    if (const py::object o = word(words, "window"); !o.is_none()) read_window(verb, o);
    if (const py::object o = word(words, "prefix"); !o.is_none()) prefix_ = whole(o, verb + ": prefix");
    if (const py::object o = word(words, "documents"); !o.is_none()) {
        documents_ = whole_numbers(o, verb + ": documents");
        if (documents_.size() < 2)
            throw py::value_error(verb + ": documents has " + std::to_string(documents_.size()) +
                                  " bounds; they start at 0 and close the last document");
    }
    if (const py::object o = word(words, "query_offset"); !o.is_none()) {
        has_offsets_ = true;
        has_one_offset_ = PyLong_Check(o.ptr()) || PyIndex_Check(o.ptr());
        if (has_one_offset_) offsets_ = {whole(o, verb + ": query_offset")};
        else offsets_ = whole_numbers(o, verb + ": query_offset");
    }
}

void attention::read_normalizer(const std::string& verb, const py::kwargs& words)
{
    const py::object name = word(words, "normalizer"), eps = word(words, "eps"), extra = word(words, "extra"),
                     sinks = word(words, "sinks");
    const auto known = [&](py::handle n) {
        return py::isinstance<py::str>(n) ? py::cast<std::string>(n) : py::cast<std::string>(py::repr(n));
    };
    const std::string of = name.is_none() ? "softmax" : known(name);
    if (of == "softpick") normalizer_ = normalizer::softpick;
    else if (of != "softmax")
        throw py::value_error(verb + ": normalizer is " + of + ", must be 'softmax' (also with extra or sinks) or " +
                              "'softpick' (also with eps): heed in C++ has more, and takes your own");
    const bool is_softpick = normalizer_ == normalizer::softpick;
    if (is_softpick && (!extra.is_none() || !sinks.is_none()))
        throw py::value_error(verb + ": " + (extra.is_none() ? "sinks" : "extra") +
                              " is an argument of softmax; softpick has eps");
    if (!is_softpick && !eps.is_none())
        throw py::value_error(verb + ": eps is an argument of softpick; softmax has extra and sinks");
    if (!extra.is_none() && !sinks.is_none()) throw py::value_error(verb + ": one of extra and sinks");
    if (!eps.is_none()) extra_ = number(eps, verb + ": eps");
    if (!extra.is_none()) extra_ = number(extra, verb + ": extra");
    if (!sinks.is_none()) {
        sinks_ = float_numbers(sinks, verb + ": sinks");
        if (sinks_.empty()) throw py::value_error(verb + ": sinks is empty; there is one logit for each query head");
    }
}

void attention::read_causal(const std::string& verb, py::handle value)
{
    if (py::isinstance<py::str>(value)) {
        const auto name = py::cast<std::string>(value);
        if (name == "bottom-right") causal_ = alignment::by_position;
        else if (name == "top-left") causal_ = alignment::by_row;
        else
            throw py::value_error(verb + ": causal is '" + name + "', must be 'bottom-right', 'top-left' or an offset");
    } else if (PyBool_Check(value.ptr())) {
        throw py::value_error(
            verb + ": causal is " + py::cast<std::string>(py::repr(value)) +
            "; say how: 'bottom-right' (the last query beside the last key, as with a cache), 'top-left' " +
            "(the first beside the first, PyTorch's is_causal), an offset, or None");
    } else {
        causal_ = alignment::by_row;
        causal_offset_ = whole(value, verb + ": causal");
    }
}

void attention::read_window(const std::string& verb, py::handle value)
{
    if (!py::isinstance<py::sequence>(value) || py::len(value) != 2)
        throw py::type_error(verb + ": window is " + py::cast<std::string>(py::repr(value)) +
                             ", must be (left, right): keys beside a query's own position, None for no limit");
    const auto sides = py::reinterpret_borrow<py::sequence>(value);
    const auto side = [&](std::size_t i, const char* name) {
        const py::object o = sides[i];
        if (o.is_none()) return no_limit;
        const std::int64_t keys = whole(o, verb + ": window's " + name);
        if (keys == no_limit) throw py::value_error(verb + ": window's " + name + " is out of range");
        return keys;
    };
    left_ = side(0, "left");
    right_ = side(1, "right");
}

definition attention::normalizer_alone() const
{
    definition d;
    d.extra = extra_;
    d.sinks = sinks_.empty() ? nullptr : sinks_.data();
    d.sink_count = sinks();
    return d;
}

definition attention::plain(const std::string& verb, const std::vector<std::int64_t>& keys, std::int64_t queries,
                            std::int64_t key_dim, number_type computed, std::vector<std::int64_t>& offsets) const
{
    definition d = normalizer_alone();
    d.scale = scale_ ? *scale_ : 1 / std::sqrt(static_cast<double>(key_dim > 1 ? key_dim : 1));
    d.softcap = softcap_;
    static const float none = 0;
    d.slopes = !has_slopes_ ? nullptr : slopes_.empty() ? &none : slopes_.data();
    d.slope_count = static_cast<std::int64_t>(slopes_.size());
    if (bias_.owner) {
        if (bias_.type != computed)
            throw py::value_error(verb + ": bias is " + bias_.type_name + ", must be " + name_of(computed) +
                                  ", the type that is computed in");
        d.bias = bias_table_;
    }
    if (mask_.owner) d.mask = mask_table_;
    d.causal = causal_;
    d.causal_offset = causal_offset_;
    d.left = left_, d.right = right_;
    d.prefix = prefix_;
    d.documents = {documents_.data(), static_cast<std::int64_t>(documents_.size())};
    offsets = offsets_;
    if (has_one_offset_) offsets.assign(keys.size(), offsets_[0]);
    if (!has_offsets_) {
        offsets.clear();
        for (const std::int64_t n : keys) offsets.push_back(n - queries);
    }
    d.offsets = {offsets.data(), static_cast<std::int64_t>(offsets.size())};
    return d;
}

py::dict attention::normalizer_words() const
{
    py::dict words;
    words["normalizer"] = normalizer_ == normalizer::softpick ? "softpick" : "softmax";
    if (!sinks_.empty()) words["sinks"] = py::array_t<float>(static_cast<py::ssize_t>(sinks_.size()), sinks_.data());
    else if (extra_ != 0) words[normalizer_ == normalizer::softpick ? "eps" : "extra"] = extra_;
    return words;
}
