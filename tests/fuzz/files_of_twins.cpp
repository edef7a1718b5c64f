// SPDX-License-Identifier: MIT
// Files that twins reads and writes: models, interrupted trainings, texts, reports.
#include "files.hpp"

#include "examples/twins/attention.hpp"
#include "examples/twins/model_file.hpp"
#include "examples/twins/report.hpp"
#include "examples/twins/task.hpp"
#if HEED_FUZZ_PLOT
#include <nlohmann/json.hpp>
#endif

namespace fuzz {

void model_case(input& in)
{
    const shape s = drawn_shape(in);
    const bool bf16 = in.one_in(2), sinks = in.one_in(2);
    bytes model = checkpoint_bytes(in, s, bf16);
    const std::string text = sidecar_text(in, s, bf16, sinks);
    bytes beside(text.begin(), text.end());
    if (in.one_in(2)) damage(in, in.one_in(2) ? model : beside);
    const std::string path = (folder() / "m.bin").string();
    write(path, model);
    write((folder() / "m.heed").string(), beside);
    taken<input_error>([&] {
        const twins::trained_model m = twins::read_model(path);
        const std::string copy = (folder() / "n.bin").string();
        twins::write_model(m, copy);
        const twins::trained_model again = twins::read_model(copy);
        require(again.parameters.size() == m.parameters.size(), "a model of another size than was written");
        for (std::size_t i = 0; i < m.parameters.size(); ++i) {  // a NaN may have other bits in bf16
            const float x = m.parameters[i], y = again.parameters[i];
            require(std::memcmp(&x, &y, sizeof(x)) == 0 || (x != x && y != y), "a model is not what was written of it");
        }
        require(again.beside.facts == m.beside.facts && again.beside.normalizer == m.beside.normalizer,
                "a sidecar is not what was written of it");
    });
}

void training_case(input& in)
{
    twins::settings of;
    const shape s = drawn_shape(in);
    of.shape = {s.dim, s.hidden, s.layers, s.heads, s.kv_heads, s.vocabulary, s.context, s.tied};
    of.steps = in.range(1, 5);
    of.extend = in.one_in(2) ? in.range(1, 5) : 0;
    of.normalizer = in.one_in(2) ? "sink" : "softmax";
    const twins::layout at = twins::layout_of(of.shape, of.normalizer);
    twins::training_state state(at, 1);
    state.step = in.range(0, of.all_steps());
    for (int64 n = in.range(0, of.all_steps()); n > 0; --n) {
        state.curve.step.push_back(in.normal());
        state.curve.training.push_back(in.normal());
        state.curve.validation.push_back(in.normal());
    }
    const std::string path = (folder() / "t.train").string();
    twins::write_training_state(state, of, path);
    bytes b = llama2c::read_file(path);
    bool damaged = false;
    if (in.one_in(3)) {
        damaged = damage(in, b);
    } else {  // behind a hash that fits: lengths and numbers reach the reader
        const bytes before = b;
        b.resize(b.size() - 8);
        for (int64 n = in.range(0, 2); n > 0; --n) {
            const std::size_t where = in.random() % b.size();
            if (in.one_in(2)) b[where] = static_cast<char>(in.byte());
            else if (where + 8 < b.size()) {
                const int64 x = in.hostile();
                std::memcpy(b.data() + where, &x, 8);
            } else b.resize(where);
        }
        put(b, twins::hash_of(b.data(), b.size()));
        damaged = b != before;
    }
    if (b.empty()) b.push_back(0);
    write(path, b);
    const bool read = taken<input_error>([&] {
        const twins::training_state again = twins::read_training_state(of, at, path);
        require(again.step >= 0 && again.step <= of.all_steps(), "a step that the run does not have");
        require(again.parameters.size() == static_cast<std::size_t>(at.size()) &&
                    again.moment1.size() == again.parameters.size() && again.moment2.size() == again.parameters.size(),
                "not all parameters");
        if (!damaged)
            require(again.step == state.step && again.parameters == state.parameters &&
                        again.curve.step == state.curve.step,
                    "a state is not what was written");
    });
    require(read || damaged, "a whole training state is refused");
}

void text_case(input& in)
{
    const bool training = in.one_in(2);
    const int64 context = in.range(1, 40);
    std::string text(static_cast<std::size_t>(training ? 65536 * 15 + in.range(0, 90) : in.range(0, 90)), 'x');
    for (std::size_t i = text.size(); i > 0 && i + 90 > text.size(); --i) text[i - 1] = static_cast<char>(in.random());
    const std::size_t held = training ? (text.size() > 65536 * 15 ? text.size() - 65536 * 15 : 0) : text.size();
    const bool enough = held >= static_cast<std::size_t>(context);
    const bool read = taken<input_error>([&] {
        const auto task = twins::make_text_task(text, training, context, "text");
        std::vector<int> tokens(static_cast<std::size_t>(context) + 1);
        const auto check = [&] {
            require(tokens[0] == twins::bos, "a window begins with BOS");
            for (std::size_t i = 1; i < tokens.size(); ++i)
                require(tokens[i] >= 3 && tokens[i] < twins::byte_vocabulary, "a token is a byte");
        };
        if (training)
            task->draw(twins::random_stream{static_cast<std::uint64_t>(in.range(0, 9)), 1, 2}, tokens.data(),
                       context + 1),
                check();
        task->draw_validation(in.range(0, 300), tokens.data(), context + 1);
        check();
    });
    require(read == enough, enough ? "a text that is long enough is refused" : "a text that is too short is taken");
}

#if HEED_FUZZ_PLOT
/// What is written of any strings and numbers is JSON, and is read as it was written.
void report_case(input& in)
{
    const auto text = [&] {
        std::string t;
        for (int64 n = in.range(0, 6); n > 0; --n) t += static_cast<char>(in.byte());
        return t;
    };
    const auto number = [&] {
        return in.one_in(6)   ? std::nan("")
               : in.one_in(6) ? 1 / 0. * (in.one_in(2) ? 1 : -1)
                              : in.normal() * std::pow(10., static_cast<double>(in.range(-300, 300)));
    };
    twins::report r{};
    r.task = text(), r.command = text(), r.machine = text();
    r.parameters = in.hostile(), r.context = 4, r.training_tokens = in.hostile();
    for (int i = 0; i < 2; ++i) r.labels.push_back(text());
    for (int64 n = in.range(1, 2); n > 0; --n) {
        twins::twin_report t{};
        t.normalizer = "n" + text(), t.checkpoint = text();
        t.training_loss = number(), t.validation_loss = number(), t.dead_heads = number();
        t.layers.push_back({number(), number(), number(), {number()}, {0, 1, {number()}}});
        t.bits.push_back({4, number()});
        t.curve = {{100}, {number()}, {number()}};  // one step for all
        t.maps.push_back({0, 0, 1, {static_cast<float>(number())}});
        r.twins.push_back(t);
    }
    const auto j = nlohmann::json::parse(twins::to_json(r), nullptr, false);
    require(!j.is_discarded(), "a report is no JSON");
    const double loss = r.twins[0].training_loss;
    const auto& written = j["twins"][0]["training_loss"];
    require(std::isfinite(loss) ? written.get<double>() == loss : written.is_null(), "a number reads back as another");
    require(j["parameters"].get<int64>() == r.parameters, "a whole number reads back as another");
    (void)twins::table(r, twins::columns::twins_and_difference);

    const std::string path = (folder() / "r.json").string(), whole = twins::to_json(r);
    bytes b(whole.begin(), whole.end());
    const bool damaged = in.one_in(2) && damage(in, b);
    write(path, b);
    const bool read = taken<input_error>([&] {
        const twins::report again = twins::read_report(path);
        (void)twins::table(again);
        if (!damaged) require(twins::to_json(again) == whole, "a report is not what was written");
    });
    require(read || damaged, "a whole report is refused");
}
#endif

}  // namespace fuzz
