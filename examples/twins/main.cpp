// SPDX-License-Identifier: MIT
// twins: the softpick paper's experiment on a laptop. Trains small language models that are alike to the seed but for
// their normalizer, and measures them side by side.
#include "../program/standard_output.hpp"
#include "command_line.hpp"
#include "continuation.hpp"
#include "files.hpp"
#include "measure.hpp"
#include "pictures.hpp"
#include "progress.hpp"

#include <csignal>
#include <cstdio>
#include <thread>

namespace twins {
namespace {

using clock = std::chrono::steady_clock;

volatile std::sig_atomic_t interrupted = 0;

/// The first Ctrl-C ends the run after its step; the second one ends the program.
void listen_to_interrupts()
{
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = 1; };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

std::string text_of(const std::string& path)
{
    const std::vector<char> bytes = llama2c::read_file(path);
    return {bytes.begin(), bytes.end()};
}

void make_folder(const std::string& path)
{
    std::error_code wrong;
    std::filesystem::create_directories(path, wrong);
    if (!std::filesystem::is_directory(path))
        throw input_error("--out " + path + ": cannot be made: " + (wrong ? wrong.message() : "is a file"));
}

/// How many steps take so many seconds, points of the curve included; measured for two seconds.
int64 steps_within(double seconds, settings s, const task& t, heed::thread_pool& pool)
{
    const auto since = [](clock::time_point start) {
        return std::chrono::duration<double>(clock::now() - start).count();
    };
    s.steps = int64{1} << 40;  // no point of the curve comes near
    trainer probe(s, t, pool);
    probe.step();
    auto start = clock::now();
    probe.validation_loss(s.windows);
    const double point = since(start);
    start = clock::now();
    while (since(start) < 2) probe.step();
    const double step = since(start) / static_cast<double>(probe.state().step - 1);
    return std::max<int64>(1, static_cast<int64>((seconds - 40 * point) / step));
}

/// Whether the model of a finished run is there, as the run would write it.
bool has_model(const settings& s, bool bf16, const std::string& path)
{
    try {
        const trained_model m = read_model(path);
        return m.beside.normalizer == s.normalizer && m.beside.bf16 == bf16 && m.beside.fact("options") == s.options();
    } catch (const input_error&) {
        return false;
    }
}

enum class ending { finished, by_signal, by_clock };

/// `path`: of the files, without their ending.
ending train_one(const command& c, const settings& s, const std::string& path, const task& t, heed::thread_pool& pool,
                 clock::time_point end_of_sitting)
{
    const std::string state = path + ".train", name = std::filesystem::path(path).filename().string();
    trainer run(s, t, pool);
    if (std::filesystem::exists(state)) {
        if (!c.resume)
            throw input_error(state + ": is there already; --resume goes on with it, another --out leaves it alone");
        run.go_on_from(read_training_state(s, run.places(), state));
        if (run.done() && has_model(s, c.bf16, path + ".bin")) {
            std::printf("%-10s is finished\n", name.c_str());
            return ending::finished;
        }
    }
    progress line(run, name);
    auto saved = clock::now();
    const auto save = [&] {
        write_training_state(run.state(), s, state);
        saved = clock::now();
    };
    if (!run.done()) save();  // says at once whether the folder can be written
    while (!run.done()) {
        const double loss = run.step();
        if (!std::isfinite(loss))
            throw input_error(s.normalizer + ": the loss of step " + std::to_string(run.state().step) +
                              " is no number; a lower --rate may help");
        line.show(loss);
        const bool out_of_time = clock::now() >= end_of_sitting, stops = interrupted || (out_of_time && !run.done());
        if (stops || run.done() || clock::now() - saved > std::chrono::seconds(60)) save();
        if (stops) {
            line.finish();
            std::printf("stopped after step %lld of %lld. To go on:\n  %s\n", static_cast<long long>(run.state().step),
                        static_cast<long long>(s.all_steps()), resume_line(c).c_str());
            return interrupted ? ending::by_signal : ending::by_clock;
        }
    }
    line.finish();
    write_model(finished(s, run.places(), run.state(), run.training_loss(s.windows), c.bf16), path + ".bin");
    return ending::finished;
}

std::string this_machine(int threads)
{
    std::string name = "unknown CPU";
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0) {
            name = line.substr(line.find(':') + 2);
            break;
        }
    return name + ", " + heed::isa_name() + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
}

/// The task of a model, and what there is to know about it.
std::string describe(const trained_model& m)
{
    const std::string name = m.beside.fact("task");
    if (name != "bigram-backcopy") return name;
    char text[64];
    std::snprintf(text, sizeof(text), "%s (at best %.4f nats)", name.c_str(), bigram_backcopy_bound(m.shape.context));
    return text;
}

/// Throws unless a model or report fits beside those in `r`, of which the first came from `first`.
void check_fits(const report& r, const std::string& first, const report& other, const std::string& path)
{
    const auto says = [](const report& x) { return x.task + " in windows of " + std::to_string(x.context); };
    if (r.twins.empty() || says(r) == says(other)) return;
    throw input_error(path + ": has learnt " + says(other) + ", " + first + " " + says(r));
}

/// Everything of a report but the twins.
report heading_of(const trained_model& m, const command& c)
{
    report r;
    r.windows = c.windows;
    r.machine = this_machine(c.threads);
    r.task = describe(m);
    if (m.beside.fact("task") == "bigram-backcopy") r.bound = bigram_backcopy_bound(m.shape.context);
    r.parameters = m.at.of(tensor::of_heads).offset;
    r.context = m.shape.context;
    r.training_tokens = std::atoll(m.beside.fact("tokens").c_str());
    return r;
}

report measured(const std::vector<std::string>& paths, const task& t, const command& c, heed::thread_pool& pool)
{
    report r;
    for (const std::string& path : paths) {
        const trained_model m = read_model(path);
        report heading = heading_of(m, c);
        check_fits(r, paths[0], heading, path);
        if (r.twins.empty()) r = std::move(heading);
        r.twins.push_back(measure(m, t, r.windows, pool));
        r.twins.back().checkpoint = path;
    }
    r.labels = map_labels(t);
    return r;
}

void print_report(const std::vector<std::string>& paths, const task& t, const command& c, const std::string& line,
                  heed::thread_pool& pool)
{
    report r = measured(paths, t, c, pool);
    r.command = line;
    std::printf("\n%s\n", table(r).c_str());
    const std::string json = to_json(r), json_path = c.out + "/report.json";
    write_whole(json_path, json);
    std::printf("written: %s", json_path.c_str());
    for (const std::string& picture : write_pictures(r, c.out)) std::printf(", %s", picture.c_str());
    std::printf("\n");
}

int train(command c)
{
    const auto started = clock::now();
    make_folder(c.out);
    heed::thread_pool pool(c.threads);
    std::unique_ptr<task> t;
    if (c.run.task == "text") {
        const std::string text = text_of(c.run.file);
        c.run.file_hash = hash_of(text.data(), text.size());
        t = make_text_task(text, true, c.run.shape.context, c.run.file);
    } else {
        t = make_bigram_backcopy();
    }
    if (c.seconds > 0) {
        c.run.steps = steps_within(c.seconds, runs_of(c)[0].first, *t, pool);
        std::printf("%g seconds are about --steps %lld here\n", c.seconds, static_cast<long long>(c.run.steps));
    }
    listen_to_interrupts();
    const std::string words = byte_tokenizer();
    write_whole(c.out + "/tokenizer.bin", words);
    std::vector<std::string> models;
    const auto end_of_sitting =
        c.sitting > 0 ? started + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(c.sitting))
                      : clock::time_point::max();
    for (const auto& [s, name] : runs_of(c)) {
        const std::string path = c.out + "/" + name;
        const ending how = train_one(c, s, path, *t, pool, end_of_sitting);
        if (how != ending::finished) return how == ending::by_signal ? 130 : 3;
        models.push_back(path + ".bin");
    }
    c.windows = c.run.windows;
    std::string line = resume_line(c);
    line.resize(line.size() - std::string(" --resume").size());
    print_report(models, *t, c, line, pool);
    return 0;
}

/// Throws unless the text is what the models learnt, as far as their sidecars say.
void check_text(const std::string& text, const std::string& file, const std::vector<std::string>& models)
{
    const std::string name = text_name(hash_of(text.data(), text.size()));
    for (const std::string& path : models)
        if (const std::string learnt = read_model(path).beside.fact("text"); !learnt.empty() && learnt != name)
            throw input_error(file + ": is not the text that " + path + " learnt (its hash is " + name + ", not " +
                              learnt + "); --held-out validates on another text");
}

/// What the models have learnt, and the options that name a text to validate on.
std::pair<std::unique_ptr<task>, std::string> validation_of(const command& c, const std::vector<std::string>& models)
{
    const trained_model first = read_model(models[0]);
    if (first.beside.fact("task") == "bigram-backcopy") return {make_bigram_backcopy(), ""};
    if (!c.held_out.empty())
        return {make_text_task(text_of(c.held_out), false, first.shape.context, c.held_out),
                " --held-out " + twins::quoted(c.held_out)};
    if (c.run.file.empty())
        throw input_error(models[0] + ": has learnt from a text: --file or --held-out is needed to validate on");
    const std::string text = text_of(c.run.file);
    check_text(text, c.run.file, models);
    return {make_text_task(text, true, first.shape.context, c.run.file), " --file " + twins::quoted(c.run.file)};
}

int report_on(command c)
{
    if (c.windows == 0) c.windows = read_model(c.names[0]).option("--windows", settings{}.windows);
    const auto [t, text_options] = validation_of(c, c.names);
    std::string line = "twins report";
    for (const std::string& path : c.names) line += " " + twins::quoted(path);
    make_folder(c.out);
    heed::thread_pool pool(c.threads);
    print_report(c.names, *t, c, line + text_options, pool);
    return 0;
}

bool is_report(const std::string& path) { return std::filesystem::path(path).extension() == ".json"; }

/// Two models, or the twins of reports, as one table; of two twins with their difference.
int compare(command c)
{
    std::vector<report> reports;
    std::vector<std::string> models;
    for (const std::string& path : c.names)
        if (is_report(path)) reports.push_back(read_report(path));
        else models.push_back(path);
    // A model beside a report is measured as that was.
    if (c.windows == 0 && !models.empty())
        c.windows =
            reports.empty() ? read_model(models[0]).option("--windows", settings{}.windows) : reports[0].windows;
    std::string text_options;
    heed::thread_pool pool(c.threads);
    report r;
    std::size_t next = 0;
    for (const std::string& path : c.names) {
        report one;
        if (is_report(path)) {
            one = reports[next++];
        } else {
            const auto [t, options] = validation_of(c, models);
            text_options = options;
            one = measured({path}, *t, c, pool);
        }
        check_fits(r, c.names[0], one, path);
        if (!r.twins.empty() && one.windows != r.windows)
            throw input_error(path + ": was validated on " + std::to_string(one.windows) + " windows, " + c.names[0] +
                              " on " + std::to_string(r.windows));
        if (r.twins.empty()) r = one;
        else {
            r.twins.insert(r.twins.end(), one.twins.begin(), one.twins.end());
            if (r.machine != one.machine) r.machine += "; " + one.machine;
        }
    }
    r.command = "twins compare " + twins::quoted(c.names[0]) + " " + twins::quoted(c.names[1]) + text_options;
    std::printf("%s", table(r, columns::twins_and_difference).c_str());
    return 0;
}

int tell(const command& c)
{
    std::vector<trained_model> models;
    for (const std::string& path : c.names) {
        models.push_back(read_model(path));
        if (const std::string task = models.back().beside.fact("task"); !task.empty() && task != "text")
            throw input_error(path + ": has learnt " + task + ", and tell is for models of text");
    }
    std::printf("%s, and what comes next at temperature %g:\n", c.prompt.c_str(), c.temperature);
    for (const trained_model& m : models) {
        const std::string text =
            continuation(m, c.prompt, c.tokens, c.temperature, static_cast<std::uint64_t>(c.run.seed));
        std::printf("\n%s\n  %s\n", m.beside.normalizer.c_str(), text.c_str());
    }
    return 0;
}

/// The models that came with heed: what they say, and what the paper's table says of them.
int box(command c)
{
    const std::string folder = HEED_TWINS_BOX;
    c.names = {folder + "/softmax.bin", folder + "/softpick.bin"};
    c.held_out = folder + "/held_out.txt";
    tell(c);
    return report_on(c);
}

int run(int argc, char** argv)
{
    const std::string verb = argc > 1 ? argv[1] : "";
    if (asks_for_help(argc, argv)) {
        std::fputs(usage(verb).c_str(), stdout);
        return 0;
    }
    const command c = parse_command(argc, argv);
    switch (c.what) {
    case command::verb::train: return train(c);
    case command::verb::report: return report_on(c);
    case command::verb::compare: return compare(c);
    case command::verb::tell: return tell(c);
    case command::verb::box: break;
    }
    return box(c);
}

}  // namespace
}  // namespace twins

int main(int argc, char** argv)
{
    llama2c::occupy_standard_streams();
    try {
        const int code = twins::run(argc, argv);
        llama2c::flush_standard_output();
        return code;
    } catch (const std::bad_alloc&) {
        std::fprintf(stderr, "twins: too large for this machine's memory\n");
    } catch (const std::exception& e) {
        std::fprintf(stderr, "twins: %s\n", e.what());
        if (argc < 3) std::fputs(twins::usage(argc > 1 ? argv[1] : "").c_str(), stderr);
    }
    return 2;
}
