// SPDX-License-Identifier: MIT
#include "../program/input_error.hpp"
#include "report.hpp"

#if defined(HEED_TWINS_JSON)
#include <nlohmann/json.hpp>

#include <fstream>
#endif

namespace twins {

using llama2c::input_error;

#if defined(HEED_TWINS_JSON)
namespace {

using nlohmann::json;

/// null stands for what is no number.
double number_of(const json& x) { return x.is_null() ? std::numeric_limits<double>::quiet_NaN() : x.get<double>(); }

template <class T>
std::vector<T> numbers_of(const json& array)
{
    std::vector<T> all;
    for (const json& x : array) all.push_back(static_cast<T>(number_of(x)));
    return all;
}

layer_report layer_of(const json& j)
{
    const json& a = j.at("activations");
    return {number_of(j.at("sparsity")),
            number_of(j.at("kurtosis")),
            number_of(j.at("largest")),
            numbers_of<double>(j.at("first_token_weight")),
            {number_of(a.at("low")), number_of(a.at("high")), numbers_of<double>(a.at("count"))}};
}

/// `tokens`: of training, where the run does not say (in files of before it did).
twin_report run_of(const json& j, std::int64_t tokens)
{
    twin_report t{};
    j.at("normalizer").get_to(t.normalizer);
    t.formula = j.value("formula", "");
    j.at("checkpoint").get_to(t.checkpoint);
    j.at("settings").get_to(t.settings);
    j.at("seed").get_to(t.seed);
    j.at("curve_windows").get_to(t.curve_windows);
    t.training_tokens = j.value("training_tokens", tokens);
    t.training_loss = number_of(j.at("training_loss"));
    t.validation_loss = number_of(j.at("validation_loss"));
    t.sink_rate_02 = number_of(j.at("sink_rate_02"));
    t.sink_rate_03 = number_of(j.at("sink_rate_03"));
    t.normalised_sink_rate_02 = number_of(j.at("normalised_sink_rate_02"));
    t.normalised_sink_rate_03 = number_of(j.at("normalised_sink_rate_03"));
    t.dead_heads = number_of(j.at("dead_heads"));
    for (const json& layer : j.at("layers")) t.layers.push_back(layer_of(layer));
    for (const json& q : j.at("bits")) t.bits.push_back({q.at("bits").get<int>(), number_of(q.at("loss"))});
    const json& curve = j.at("curve");
    t.curve = {numbers_of<double>(curve.at("step")), numbers_of<double>(curve.at("training")),
               numbers_of<double>(curve.at("validation"))};
    for (const json& m : j.at("maps"))
        t.maps.push_back({m.at("layer").get<int>(), m.at("head").get<int>(), m.at("tokens").get<int>(),
                          numbers_of<float>(m.at("weights"))});
    return t;
}

}  // namespace

report read_report(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) throw input_error(path + ": cannot be opened");
    try {
        const json j = json::parse(file);
        if (!j.is_object() || j.value("format", "") != "heed twins report 1")
            throw input_error(path + ": is no report.json of twins");
        report r{};
        j.at("task").get_to(r.task);
        j.at("command").get_to(r.command);
        j.at("machine").get_to(r.machine);
        j.at("parameters").get_to(r.parameters);
        j.at("context").get_to(r.context);
        j.at("training_tokens").get_to(r.training_tokens);
        j.at("windows").get_to(r.windows);
        r.bound = number_of(j.at("bound"));
        j.at("labels").get_to(r.labels);
        for (const json& run : j.at("twins")) r.twins.push_back(run_of(run, r.training_tokens));
        check(r);
        return r;
    } catch (const json::exception& e) {
        std::string why = e.what();
        why = why.substr(0, why.find('\n'));
        throw input_error(path + ": is no report.json of twins: " + why);
    } catch (const std::invalid_argument& e) {
        throw input_error(path + ": " + e.what());
    }
}
#else
report read_report(const std::string& path)
{
    throw input_error(path + ": reports are read where twins is built beside nlohmann's JSON: apt-get install "
                             "nlohmann-json3-dev");
}
#endif

}  // namespace twins
