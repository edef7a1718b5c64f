// SPDX-License-Identifier: MIT
// Every command line and case name that heed's programs take: words of their own in any order, and any bytes.
#include "input.hpp"

#include "bench/cases.hpp"
#if HEED_FUZZ_BENCH
#include "bench/file.hpp"
#include "bench/options.hpp"
#endif
#include "examples/storyteller/command_line.hpp"
#include "examples/twins/command_line.hpp"

namespace fuzz {
namespace {

/// argv of words, each in memory of its own.
class arguments {
public:
    explicit arguments(std::vector<std::string> words) : words_(std::move(words))
    {
        for (std::string& w : words_) pointers_.push_back(w.data());
        pointers_.push_back(nullptr);
    }
    int count() const { return static_cast<int>(words_.size()); }
    char** data() { return pointers_.data(); }

private:
    std::vector<std::string> words_;
    std::vector<char*> pointers_;
};

std::string drawn_value(input& in)
{
    constexpr const char* some[] = {"1",
                                    "0",
                                    "-1",
                                    "2",
                                    "64",
                                    "1e3",
                                    "0.5",
                                    "nan",
                                    "inf",
                                    "",
                                    "x",
                                    "9223372036854775807",
                                    "9223372036854775808",
                                    "99999999999999999999999",
                                    " 1",
                                    "1 ",
                                    "+1",
                                    "0x10",
                                    "1e-400",
                                    "bf16",
                                    "q8_0",
                                    "softmax",
                                    "sink",
                                    "text",
                                    "1,2,3",
                                    "1,,2",
                                    ",",
                                    "--seed",
                                    "-5",
                                    "1e400"};
    if (in.one_in(6)) {
        std::string t;
        for (int64 n = in.range(0, 5); n > 0; --n) t += static_cast<char>(in.byte() % 255 + 1);
        return t;
    }
    if (in.one_in(4)) return std::to_string(in.hostile());
    return in.one_of(some);
}

template <std::size_t N>
arguments drawn_line(input& in, const char* const (&words)[N], const char* program)
{
    std::vector<std::string> line{program};
    for (int64 n = in.range(0, 7); n > 0; --n)
        line.push_back(in.one_in(2) ? std::string(in.one_of(words)) : drawn_value(in));
    return arguments(line);
}

void storyteller_line(input& in)
{
    constexpr const char* words[] = {
        "--prompt", "--batch",   "--score",  "--compare", "--tokens",  "--normalizer",  "--cache",
        "--page",   "--layout",  "--select", "--block",   "--threads", "--temperature", "--products",
        "--seed",   "--ids",     "token",    "int8",      "int8_by8",  "model.bin",     "tokenizer.bin",
        "--",       "--unknown", "--ranks",  "--combine", "tree",      "--context"};
    arguments a = drawn_line(in, words, "storyteller");
    try {
        const llama2c::settings s = llama2c::parse(a.count(), a.data());
        const llama2c::attention_form& form = s.form;
        require(s.ranks == llama2c::asks_for_ranks(a.count(), a.data()), "storyteller overlooks --ranks");
        require(s.tokens >= 0 && s.tokens <= 1 << 20 && s.threads >= 1 && s.threads <= 1024 && s.temperature >= 0 &&
                    s.temperature <= 100 && s.seed >= 0 && form.page >= 0 && form.page <= 4096 && form.select >= 0 &&
                    form.select <= 1 << 20 && form.block >= 1 && form.block <= 512 &&
                    !(s.prompt.size() && !s.tells()) && s.context >= 0 && s.context <= 1 << 20 &&
                    (s.ranks || s.combine == llama2c::combining::order),
                "storyteller takes options out of range");
    } catch (const llama2c::input_error& e) {
        require(e.what()[0] != 0, "an error without a sentence");
    }
}

void twins_line(input& in)
{
    constexpr const char* words[] = {
        "train",           "report",    "tell",     "box",      "compare",       "softpick",   "--out",
        "--threads",       "--windows", "--task",   "--file",   "--steps",       "--seconds",  "--resume",
        "--extend",        "--sitting", "softmax",  "--seed",   "--seeds",       "--batch",    "--rate",
        "--decay",         "--dim",     "--hidden", "--layers", "--heads",       "--kv-heads", "--context",
        "--untied",        "--bf16",    "--prompt", "--tokens", "--temperature", "--held-out", "text",
        "bigram-backcopy", "--what"};
    std::vector<std::string> line{"twins"};
    if (!in.one_in(8)) line.push_back(words[in.range(0, 4)]);
    if (in.one_in(2)) line.push_back("softmax");
    for (int64 n = in.range(0, 7); n > 0; --n)
        line.push_back(in.one_in(2) ? std::string(in.one_of(words)) : drawn_value(in));
    arguments a(line);
    try {
        const twins::command c = twins::parse_command(a.count(), a.data());
        const auto& m = c.run.shape;
        require(c.threads >= 1 && c.threads <= 256 && c.names.size() <= line.size() && m.heads >= 1 &&
                    m.kv_heads >= 1 && m.dim >= 1 && m.context >= 1 && c.run.steps >= 1 && c.run.batch >= 1 &&
                    c.run.rate >= 0 && c.run.rate <= 1 && c.temperature >= 0,
                "twins takes options out of range");
        if (c.what == twins::command::verb::train) {
            require(m.dim % m.heads == 0 && m.heads % m.kv_heads == 0 && m.dim / m.heads % 2 == 0,
                    "twins trains heads that do not divide");
            // The line that goes on with a run is one that is taken, where no word of it holds a space.
            const std::string again = twins::resume_line(c);
            std::vector<std::string> parts;
            std::string part;
            bool plain = c.seconds == 0;
            for (const std::string& w : line)
                plain = plain && w.find_first_of(" \t\n\v\f\r'\"\\") == std::string::npos && !w.empty();
            for (std::istringstream in_words(again); in_words >> part;) parts.push_back(part);
            if (plain) {
                arguments b(parts);
                (void)twins::parse_command(b.count(), b.data());
            }
        }
    } catch (const llama2c::input_error& e) {
        require(e.what()[0] != 0, "an error without a sentence");
    }
}

#if HEED_FUZZ_BENCH
void bench_line(input& in)
{
    constexpr const char* words[] = {
        "--card",  "--table", "--sweep",  "--compare", "--help",  "-h",      "--case=heed",
        "--case=", "--rows=", "--rows=x", "--json=f",  "--json=", "--csv=g", "--benchmark_filter=x",
        "a.json"};
    arguments a = drawn_line(in, words, "heed-bench");
    int count = a.count();
    try {
        const bench::options o = bench::read_options(count, a.data());
        require(count >= 1 && count <= a.count(), "heed-bench leaves more arguments than there were");
        if (o.what == bench::options::task::card)
            require(o.json.empty() && o.csv.empty() && o.cases.empty(), "--card with what belongs to --table");
    } catch (const bench::failure& e) {
        require(e.what()[0] != 0, "an error without a sentence");
    }
}
#endif

void case_name(input& in)
{
    constexpr const char* impl[] = {"heed", "eigen", "openblas", "onednn", "fused", "observe", "dense", "x"};
    constexpr const char* phase[] = {"prefill", "decode", "backward", "y"};
    constexpr const char* normalizers[] = {"softmax", "softmax1", "softmax_sink", "softpick",
                                           "sigmoid", "relu1",    "relu2",        "z"};
    constexpr const char* kv[] = {"f32",
                                  "bf16",
                                  "bf16_native",
                                  "f16",
                                  "int8",
                                  "q8_0",
                                  "q4_0",
                                  "fp8",
                                  "fp8_e5m2_page3",
                                  "f32_sparse90",
                                  "int8_page16",
                                  "q8_0_page4096",
                                  "f32_page0",
                                  "f32_page16_mixed100",
                                  "f16_sparse9"};
    constexpr const char* masks[] = {
        "all", "causal", "window64", "documents3", "window0", "documents999999999", "window1234567890"};
    const auto size = [&](const char* name) {
        return name + (in.one_in(8)
                           ? drawn_value(in)
                           : std::to_string(in.one_in(8) ? in.hostile() & ((int64{1} << 50) - 1) : in.range(0, 300)));
    };
    std::string name = std::string(in.one_of(impl)) + "/" + in.one_of(phase) + "/" + in.one_of(normalizers) + "/" +
                       in.one_of(kv) + "/" + in.one_of(masks) + "/" + size("b") + "_" + size("hq") + "_" + size("hkv") +
                       "_" + size("sq") + "_" + size("skv") + "_" + size("d") + "/" + size("t");
    if (in.one_in(4)) name = in.rest();
    else if (in.one_in(4)) name[in.random() % name.size()] = static_cast<char>(in.byte());
    if (name.size() > 4000) return;
    bench::bench_case c;
    const std::string wrong = bench::parse(name, c);
    if (!wrong.empty()) return;
    require(c.batch >= 1 && c.query_heads >= 1 && c.kv_heads >= 1 && c.queries >= 1 && c.keys >= 1 && c.key_dim >= 1 &&
                c.value_dim >= 1 && c.threads >= 1 && c.query_heads % c.kv_heads == 0 && c.page >= 0 &&
                c.page <= 4096 && c.name == name,
            "a case that makes no sense is taken: " + name);
    if (c.queries < 1 << 20) {
        const double flops = c.flops(), bytes = c.tensor_bytes();
        require(flops >= 0 && std::isfinite(flops) && std::isfinite(bytes), "a case of no work: " + name);
    }
}

}  // namespace
}  // namespace fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace fuzz;
    input in(data, size);
    switch (in.range(0, 6)) {
    case 0: case_name(in); break;
#if HEED_FUZZ_BENCH
    case 6: bench_line(in); break;
#endif
    case 1:
    case 2: twins_line(in); break;
    default: storyteller_line(in); break;
    }
    return 0;
}
