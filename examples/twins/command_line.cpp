// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include "../program/arguments.hpp"
#include "attention.hpp"

#include <algorithm>
#include <sstream>

namespace twins {

namespace {

const char summary[] =
    "usage: twins train NORMALIZER... [options]    trains models that are alike but for their normalizer, and reports\n"
    "       twins report MODEL.bin... [options]    measures models side by side: table, JSON, pictures\n"
    "       twins compare A B [options]            prints two models, or two reports, and their difference\n"
    "       twins tell MODEL.bin... [options]      lets models of text continue a prompt\n"
    "       twins box [options]                    tells with and reports on the models that came with heed\n"
    "       twins train --help, and so on: the options\n";
const char of_all[] = "  --out DIR           for models, checkpoints, report (twins-out)\n"
                      "  --threads N         (2)        --windows N    to validate on (64)\n";
const char of_training[] =
    "  --task NAME         bigram-backcopy (default), or text with --file FILE: its next byte. A text needs 983,040\n"
    "                      bytes and one context more, as every 16th block of 64 KiB is held out to validate on\n"
    "  --steps N           (2000), or --seconds S for each run\n"
    "  --extend N          N steps more, at the rate that --steps end with. Goes on with what lies in --out, finished\n"
    "                      or not: the models are those of a run that had them from the beginning\n"
    "  --resume            goes on with what lies in --out, and leaves alone what is finished\n"
    "  --sitting S         stops after S seconds of all runs, with exit status 3; --resume goes on\n"
    "  --seed N            (1), or --seeds N,N,...: each twin once with each; the report has means and ranges\n"
    "  --batch N           sequences a step (8)\n"
    "  --rate R            (0.003)    --decay D      of AdamW (0.1)\n"
    "  --dim N (128) --hidden N (344) --layers N (3) --heads N (4) --kv-heads N (heads) --context N (256) --untied\n"
    "  --bf16              rounds the finished models to bf16\n";
const char of_telling[] = "  --prompt TEXT --tokens N (200) --temperature T (0.7) --seed N (1)\n";
const char of_the_report[] = "  --out DIR           for the report (twins-out)\n";
const char of_comparing[] = "  A, B                MODEL.bin, or a report.json, whose twins were measured already\n";
const char of_reports[] =
    "  --threads N         (2)        --windows N    to validate on (as many as in training)\n"
    "  --file FILE         of models of text: the text they learnt from, on whose held-out blocks they are validated\n"
    "  --held-out FILE     of models of text: another text, all of it to validate on\n"
    "Runs that differ in their seed alone are one twin: a column with mean and range.\n";

}  // namespace

std::string usage(const std::string& verb)
{
    if (verb == "train") {
        std::string text = "usage: twins train NORMALIZER... [options]\n";
        for (const normalizer& n : normalizers()) {
            std::string name = "  " + n.name;
            name.resize(std::max<std::size_t>(name.size() + 1, 22), ' ');
            text += name + n.formula + "\n";
        }
        return text + "\n" + of_all + of_training;
    }
    if (verb == "report")
        return std::string("usage: twins report MODEL.bin... [options]\n") + of_the_report + of_reports;
    if (verb == "compare") return std::string("usage: twins compare A B [options]\n") + of_comparing + of_reports;
    if (verb == "tell") return std::string("usage: twins tell MODEL.bin... [options]\n") + of_telling;
    if (verb == "box") return std::string("usage: twins box [options]\n") + of_all + of_telling;
    return summary;
}

bool asks_for_help(int argc, char** argv)
{
    return std::any_of(argv + 1, argv + argc, [](const std::string& a) { return a == "--help" || a == "-h"; });
}

namespace {

using llama2c::number;
using llama2c::whole_number;

// A step of AdamW moves each number by about the rate, and the weights of norms are about 1: what is smaller than their
// last place trains nothing.
constexpr double least_rate = 1e-6;

std::vector<std::int64_t> whole_numbers(const std::string& option, const std::string& list)
{
    std::vector<std::int64_t> numbers;
    std::istringstream words(list + ",");
    for (std::string word; std::getline(words, word, ',');) {
        numbers.push_back(whole_number(option, word, 0, int64{1} << 62));
        if (std::count(numbers.begin(), numbers.end(), numbers.back()) > 1)
            throw input_error(option + " " + list + ": has " + word + " twice");
    }
    return numbers;
}

void check_settings(command& c, bool kv_heads_given)
{
    settings& s = c.run;
    if (!kv_heads_given) s.shape.kv_heads = s.shape.heads;
    if (s.task != "bigram-backcopy" && s.task != "text")
        throw input_error("--task " + s.task + ": is neither bigram-backcopy nor text");
    if (s.task == "text" && s.file.empty()) throw input_error("--task text: needs --file FILE");
    if (s.task != "text" && !s.file.empty()) throw input_error("--file: belongs to --task text");
    const config& m = s.shape;
    if (m.dim % m.heads || m.head_dim() % 2)
        throw input_error("--dim " + std::to_string(m.dim) + ": does not give " + std::to_string(m.heads) +
                          " heads of an even number of channels");
    if (m.heads % m.kv_heads)
        throw input_error("--kv-heads " + std::to_string(m.kv_heads) + ": does not divide " + std::to_string(m.heads) +
                          " heads");
    for (auto name = c.names.begin(); name != c.names.end(); ++name) {
        normalizer_named(*name);  // refuses what it does not know
        if (std::count(c.names.begin(), c.names.end(), *name) > 1) throw input_error(*name + ": is named twice");
    }
}

}  // namespace

command parse_command(int argc, char** argv)
{
    command c;
    const std::string verb = argc > 1 ? argv[1] : "";
    using verbs = command::verb;
    const std::array known{std::pair{"train", verbs::train}, std::pair{"report", verbs::report},
                           std::pair{"compare", verbs::compare}, std::pair{"tell", verbs::tell},
                           std::pair{"box", verbs::box}};
    const auto found = std::find_if(known.begin(), known.end(), [&](const auto& k) { return verb == k.first; });
    if (found == known.end())
        throw input_error(verb.empty() ? "what shall it do?" : verb + ": is none of train, report, compare, tell, box");
    c.what = found->second;
    const bool train = c.what == verbs::train, tell = c.what == verbs::tell || c.what == verbs::box,
               reports = c.what != verbs::tell, compares = c.what == verbs::compare;
    bool kv_heads_given = false, steps_given = false, seed_given = false;
    settings& s = c.run;
    for (int i = 2; i < argc; ++i) {
        const std::string a = argv[i];
        const auto value = [&] {
            if (++i >= argc) throw input_error(a + ": needs a value");
            return std::string(argv[i]);
        };
        const auto size = [&](int64& n, int64 high) { n = whole_number(a, value(), 1, high); };
        if (reports && !compares && a == "--out") c.out = value();
        else if (reports && a == "--threads") c.threads = static_cast<int>(whole_number(a, value(), 1, 256));
        else if (reports && a == "--windows") size(train ? s.windows : c.windows, 1 << 20);
        else if ((train || tell) && a == "--seed")
            s.seed = whole_number(a, value(), 0, int64{1} << 62), seed_given = true;
        else if (tell && a == "--prompt") c.prompt = value();
        else if (tell && a == "--tokens") c.tokens = whole_number(a, value(), 0, 1 << 20);
        else if (tell && a == "--temperature") c.temperature = number(a, value(), 0, 100);
        else if ((train || c.what == verbs::report || compares) && a == "--file") s.file = value();
        else if ((c.what == verbs::report || compares) && a == "--held-out") c.held_out = value();
        else if (a.rfind("--", 0) != 0) c.names.push_back(a);
        else if (!train) throw input_error(a + ": is no option of " + verb);
        else if (a == "--task") s.task = value();
        else if (a == "--steps") size(s.steps, int64{1} << 40), steps_given = true;
        else if (a == "--extend") size(s.extend, int64{1} << 40);
        else if (a == "--sitting") c.sitting = static_cast<double>(whole_number(a, value(), 1, 10'000'000));
        else if (a == "--seconds") c.seconds = static_cast<double>(whole_number(a, value(), 1, 10'000'000));
        else if (a == "--seeds") c.seeds = whole_numbers(a, value());
        else if (a == "--batch") size(s.batch, 1 << 16);
        else if (a == "--rate") s.rate = number(a, value(), least_rate, 1);
        else if (a == "--decay") s.decay = number(a, value(), 0, 1);
        else if (a == "--dim") size(s.shape.dim, 1 << 14);
        else if (a == "--hidden") size(s.shape.hidden, 1 << 16);
        else if (a == "--layers") size(s.shape.layers, 256);
        else if (a == "--heads") size(s.shape.heads, 1024);
        else if (a == "--kv-heads") size(s.shape.kv_heads, 1024), kv_heads_given = true;
        else if (a == "--context") size(s.shape.context, 1 << 20);
        else if (a == "--untied") s.shape.shared_classifier = false;
        else if (a == "--bf16") c.bf16 = true;
        else if (a == "--resume") c.resume = true;
        else throw input_error(a + ": unknown option");
    }
    if (c.what == verbs::box && !c.names.empty()) throw input_error(c.names[0] + ": box knows its models");
    if (c.what != verbs::box && c.names.empty()) throw input_error(train ? "which normalizers?" : "which models?");
    if (compares && c.names.size() != 2)
        throw input_error("compare takes two models or reports, not " + std::to_string(c.names.size()));
    if (s.extend > 0) c.resume = true;
    if (c.seconds > 0 && (steps_given || c.resume))
        throw input_error(std::string("--seconds: does not go with ") +
                          (steps_given    ? "--steps"
                           : s.extend > 0 ? "--extend"
                                          : "--resume") +
                          (c.resume ? "; the steps of the run are in the line that said how to go on" : ""));
    if (seed_given && !c.seeds.empty()) throw input_error("--seeds: does not go with --seed");
    if (train) check_settings(c, kv_heads_given);
    return c;
}

std::vector<std::pair<settings, std::string>> runs_of(const command& c)
{
    std::vector<std::pair<settings, std::string>> runs;
    for (const std::int64_t seed : c.seeds.empty() ? std::vector{c.run.seed} : c.seeds)
        for (const std::string& name : c.names) {
            runs.emplace_back(c.run, c.seeds.empty() ? name : name + "-seed" + std::to_string(seed));
            runs.back().first.normalizer = name;
            runs.back().first.seed = seed;
        }
    return runs;
}

std::string resume_line(const command& c)
{
    std::string line = "twins train";
    for (const std::string& name : c.names) line += " " + name;
    if (c.seeds.empty()) line += " " + c.run.options();
    else line += " " + c.run.options_but_seed() + " --seeds";
    for (std::size_t i = 0; i < c.seeds.size(); ++i) line += (i ? "," : " ") + std::to_string(c.seeds[i]);
    line += " --out " + quoted(c.out) + " --threads " + std::to_string(c.threads);
    if (c.bf16) line += " --bf16";
    return line + " --resume";
}

}  // namespace twins
