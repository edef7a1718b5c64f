// SPDX-License-Identifier: MIT
// Every file that heed's programs read: whole ones that are made here, with a few bytes changed, cut off or put in, and
// any bytes at all. What is read is a file that loops of our own find whole, or one sentence says what is wrong.
#include "input.hpp"

#include "examples/sidecar.hpp"
#include "examples/twins/model_file.hpp"
#include "examples/twins/report.hpp"
#include "examples/twins/task.hpp"
#if HEED_FUZZ_PLOT
#include "bench/plot/results.hpp"
#include <nlohmann/json.hpp>
#endif

#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace fuzz {
namespace {

using llama2c::input_error;
using bytes = std::vector<char>;

/// Runs f, which may throw one sentence of the programs' own kind. True where it did not.
template <class Error, class F>
bool taken(F f)
{
    try {
        f();
        return true;
    } catch (const Error& e) {
        const std::string says = e.what();
        require(!says.empty(), "an error without a sentence");
        return false;
    } catch (const std::bad_alloc&) {
        finding("memory for more than the file holds");
    }
}

template <class T>
void put(bytes& b, const T& x)
{
    b.insert(b.end(), reinterpret_cast<const char*>(&x), reinterpret_cast<const char*>(&x + 1));
}

/// A few changes, or none. True where there was one.
bool damage(input& in, bytes& b)
{
    const int64 changes = in.range(0, 5) % 4;
    const bytes before = b;
    for (int64 n = 0; n < changes; ++n) {
        const auto at = b.empty() ? 0
                                  : static_cast<std::size_t>(
                                        in.range(0, static_cast<int64>(std::min<std::size_t>(b.size(), 1 << 20)) - 1));
        switch (in.range(0, 5)) {
        case 0: b.resize(at); break;
        case 1: b.insert(b.begin() + static_cast<std::ptrdiff_t>(at), static_cast<char>(in.byte())); break;
        case 2:
            if (!b.empty()) b[at] = static_cast<char>(in.byte());
            break;
        case 3: {  // a number of 32 bits
            const auto x = static_cast<std::int32_t>(in.hostile());
            const std::size_t where = std::min<std::size_t>(at, 40) / 4 * 4;
            if (where + 4 <= b.size()) std::memcpy(b.data() + where, &x, 4);
            break;
        }
        case 4:
            b.insert(b.end(), b.begin(), b.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(b.size(), at)));
            break;
        case 5:
            if (!b.empty()) b.erase(b.begin() + static_cast<std::ptrdiff_t>(at));
            break;
        }
    }
    return b != before;
}

struct shape {
    int64 dim, hidden, layers, heads, kv_heads, vocabulary, context;
    bool tied;
};
shape drawn_shape(input& in)
{
    shape s{};
    s.kv_heads = in.range(1, 2);
    s.heads = s.kv_heads * in.range(1, 2);
    s.dim = s.heads * 2 * in.range(1, 2);
    s.hidden = in.range(1, 5);
    s.layers = in.range(1, 2);
    s.vocabulary = in.range(1, 9);
    s.context = in.range(1, 4);
    s.tied = in.one_in(2);
    return s;
}

/// Numbers that a checkpoint of these sizes holds.
wide floats_of(const wide (&f)[7])
{
    const wide dim = f[0], hidden = f[1], layers = f[2], kv = dim / f[3] * f[4], vocabulary = f[5] < 0 ? -f[5] : f[5];
    const wide layer = 2 * dim + 2 * dim * dim + 2 * dim * kv + 3 * dim * hidden;
    return vocabulary * dim * (f[5] > 0 ? 1 : 2) + layers * layer + dim + f[6] * (dim / f[3]);
}
bool is_checkpoint(const bytes& b, bool bf16)
{
    if (b.size() < 28) return false;
    std::int32_t field[7];
    std::memcpy(field, b.data(), 28);
    wide f[7];
    for (int i = 0; i < 7; ++i) {
        f[i] = field[i];
        const wide size = i == 5 && f[i] < 0 ? -f[i] : f[i];
        if (size < 1 || size > (1 << 20)) return false;
    }
    if (f[2] > 4096 || f[0] % f[3] || f[3] % f[4] || f[0] / f[3] % 2) return false;
    return wide(b.size()) == 28 + (bf16 ? 2 : 4) * floats_of(f);
}
bytes checkpoint_bytes(input& in, const shape& s, bool bf16)
{
    bytes b;
    for (const int64 n :
         {s.dim, s.hidden, s.layers, s.heads, s.kv_heads, s.tied ? s.vocabulary : -s.vocabulary, s.context})
        put(b, static_cast<std::int32_t>(n));
    const wide f[7] = {s.dim,    s.hidden, s.layers, s.heads, s.kv_heads, s.tied ? s.vocabulary : -s.vocabulary,
                       s.context};
    for (wide n = floats_of(f) * (bf16 ? 2 : 4); n > 0; --n) b.push_back(static_cast<char>(in.random()));
    return b;
}

void checkpoint_case(input& in)
{
    const bool bf16 = in.one_in(2);
    bytes b = checkpoint_bytes(in, drawn_shape(in), bf16);
    damage(in, b);
    const bool whole = is_checkpoint(b, bf16);
    const bool read = taken<input_error>([&] {
        const llama2c::checkpoint c(b, "checkpoint", bf16);
        const auto first = c.embedding, last = c.classifier + c.c.vocabulary * c.c.dim - 1;
        float x;  // the bits of the first and the last number are those of the file
        std::memcpy(&x, b.data() + 28, 4);
        require(bf16 || std::memcmp(first, &x, 4) == 0, "the first number of a checkpoint");
        std::memcpy(&x, b.data() + b.size() - 4, 4);
        require(bf16 || c.c.shared_classifier || std::memcmp(last, &x, 4) == 0, "the last number of a checkpoint");
    });
    require(read == whole, whole ? "a whole checkpoint is refused" : "half a checkpoint is taken");
}

void tokenizer_case(input& in)
{
    const int64 vocabulary = in.one_in(2) ? 259 + in.range(0, 20) : in.range(0, 300);
    bytes b;
    put(b, static_cast<std::int32_t>(in.one_in(3) ? 40 : 8));
    for (int64 i = 0; i < vocabulary; ++i) {
        std::string piece;
        char text[8];
        if (i < 259)
            std::snprintf(text, sizeof(text), "<0x%02X>", static_cast<unsigned>(i < 3 ? 0 : i - 3)), piece = text;
        else
            for (int64 n = in.range(0, 3); n > 0; --n) piece += "ab \xc3\xa4"[in.random() % 5];
        put(b, static_cast<float>(in.normal()));
        put(b, static_cast<std::int32_t>(piece.size()));
        b.insert(b.end(), piece.begin(), piece.end());
    }
    damage(in, b);
    const std::string text = [&] {
        std::string t;
        for (int64 n = in.range(0, 24); n > 0; --n)
            t += in.one_in(2) ? "ab \xc3\xa4"[in.random() % 5] : static_cast<char>(in.random());
        return t;
    }();
    std::vector<std::string> pieces;  // read in a loop of our own
    bool whole = vocabulary >= 259 && b.size() >= 4;
    std::int32_t longest = 0;
    if (whole) std::memcpy(&longest, b.data(), 4);
    whole = whole && longest >= 1 && longest <= 4096;
    std::size_t at = 4;
    for (int64 i = 0; whole && i < vocabulary; ++i) {
        std::int32_t n = 0;
        if (b.size() < at + 8) whole = false;
        else std::memcpy(&n, b.data() + at + 4, 4), at += 8;
        if (!whole || n < 0 || n > longest || b.size() - at < static_cast<std::size_t>(n)) whole = false;
        else pieces.emplace_back(b.data() + at, static_cast<std::size_t>(n)), at += static_cast<std::size_t>(n);
    }
    whole = whole && at == b.size();
    const bool read = taken<input_error>([&] {
        const llama2c::tokenizer words(b, vocabulary, "tokenizer");
        const std::vector<int> ids = words.encode(text);
        require(!ids.empty() && ids[0] == llama2c::tokenizer::bos, "a text begins with BOS");
        std::string joined;
        for (std::size_t i = 1; i < ids.size(); ++i) {
            require(ids[i] >= 0 && ids[i] < vocabulary, "an id outside the vocabulary");
            if (ids[i] >= 259) joined += pieces[static_cast<std::size_t>(ids[i])];
            (void)words.decode(ids[i - 1], ids[i]);
        }
        require(joined.size() <= text.size() + 1, "more text than there was");
    });
    require(read == whole, whole ? "a whole tokenizer is refused" : "half a tokenizer is taken");
}

std::string sidecar_text(input& in, const shape& s, bool bf16, bool sinks)
{
    std::string t = "heed model 1\n";
    t += sinks ? "normalizer sink\n" : in.one_in(2) ? "normalizer softpick\n" : "normalizer softmax\n";
    t += bf16 ? "element bf16\n" : "element f32\n";
    for (int64 l = 0; sinks && l < s.layers; ++l) {
        t += "sinks";
        for (int64 h = 0; h < s.heads; ++h) t += in.one_in(2) ? " 0.5" : " -1e3";
        t += "\n";
    }
    constexpr const char* more[] = {
        "task text\n",   "curve 1 2 3\n", "bias -5.5\n",  "tokens 12\n",         "options --task text\n",
        "curve 1 nan\n", "sinks\n",       "sinks 1 x\n",  "element f64\n",       "a\n",
        " b c\n",        "bias inf\n",    "sinks 1e99\n", "training-loss 1.5\n", "curve 1e999 0 0\n"};
    for (int64 n = in.range(0, 2); n > 0; --n) t += more[in.range(0, in.one_in(3) ? 14 : 4)];
    return t;
}

void sidecar_case(input& in)
{
    const std::string made = sidecar_text(in, drawn_shape(in), in.one_in(2), in.one_in(2));
    bytes b(made.begin(), made.end());
    if (in.one_in(4)) {
        const std::string rest = in.rest();
        b.assign(rest.begin(), rest.end());
    } else {
        damage(in, b);
    }
    const std::string text(b.begin(), b.end());
    taken<input_error>([&] {
        const llama2c::sidecar s = llama2c::parse_sidecar(text, "sidecar");
        require(text.rfind("heed model 1", 0) == 0, "a sidecar without its first line is taken");
        require(std::isfinite(s.bias), "a bias that is no number");
        for (const auto& logits : s.sinks)
            for (const float z : logits)
                require(z < std::numeric_limits<float>::infinity(), "a sink that is no number");
        (void)s.fact("task");
    });
}

/// Files in a folder of memory.
const std::filesystem::path& folder()
{
    static const struct kept {
        std::filesystem::path path;
        kept()
        {
            path = (std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                        : std::filesystem::temp_directory_path()) /
                   ("heed-fuzz-" + std::to_string(getpid()));
            std::filesystem::create_directories(path);
        }
        ~kept()
        {
            std::error_code ignored;
            std::filesystem::remove_all(path, ignored);
        }
    } here;
    return here.path;
}
void write(const std::string& path, const bytes& b)
{
    std::ofstream(path, std::ios::binary).write(b.data(), static_cast<std::streamsize>(b.size()));
}

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
    of.normalizer = in.one_in(2) ? "sink" : "softmax";
    const twins::layout at(of.shape, of.normalizer == "sink");
    twins::training_state state(at, 1);
    state.step = in.range(0, of.steps);
    for (int64 n = in.range(0, of.steps); n > 0; --n) {
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
        require(again.step >= 0 && again.step <= of.steps, "a step that the run does not have");
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
void results_case(input& in)
{
    std::string text =
        R"({"format": "heed-bench table 1", "heed": "0.1.0", "machine": {"cpu": "c", "threads": 2, "isa": "i",
 "compiler": "g", "l2_bytes": 1, "l3_bytes": 2, "ceilings": [{"threads": 1, "gflops": 10, "gbps": 5}]}, "rows": [{"section": "s",
 "title": "t", "tick": "k", "entries": [{"name": "n", "impl": "heed", "phase": "decode", "threads": 1, "keys": 9, "flops": 1,
 "kv_bytes": 2, "tensor_bytes": 3, "of_peak": 0.5, "of_stream": 0.5, "heed_is_faster": 1}]}]})";
    bytes b(text.begin(), text.end());
    if (in.one_in(6)) {
        text = in.rest();
        b.assign(text.begin(), text.end());
    } else if (in.one_in(2)) {
        // Another value in place of any.
        constexpr const char* values[] = {"null", "-1",   "1e999", "\"x\"", "[]",
                                          "{}",   "1e30", "true",  "0",     "99999999999999999999"};
        const std::size_t colon = text.find(": ", in.random() % text.size());
        const std::size_t end = colon == std::string::npos ? colon : text.find_first_of(",}]", colon + 2);
        if (end != std::string::npos) text = text.substr(0, colon + 2) + in.one_of(values) + text.substr(end);
        b.assign(text.begin(), text.end());
    } else {
        damage(in, b);
    }
    const std::string path = (folder() / "r.json").string();
    write(path, b);
    taken<std::runtime_error>([&] {
        const plot::results r = plot::read_results(path);
        for (const auto& row : r.rows)
            require(!row.entries.empty() && row.heed().impl == "heed", "a row that does not start with heed is taken");
    });
}

/// What is written of any strings and numbers is JSON.
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
    (void)twins::table(r);
}
#endif

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    switch (in.range(0, 23)) {
    case 0:
    case 1:
    case 2: checkpoint_case(in); break;
    case 3:
    case 4: tokenizer_case(in); break;
    case 5: model_case(in); break;
    case 6: training_case(in); break;
    case 7:
        if (in.one_in(40)) text_case(in);  // 1 MB each
        break;
#if HEED_FUZZ_PLOT
    case 8: results_case(in); break;
    case 9: report_case(in); break;
#endif
    default: sidecar_case(in); break;
    }
    return 0;
}
