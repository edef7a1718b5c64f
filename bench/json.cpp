// SPDX-License-Identifier: MIT
// The results of a table as JSON, which heed-plot draws:
//
//     {"format": "heed-bench table 1", "heed": "0.1.0", "machine": {..., "ceilings": [{"threads", "gflops", "gbps",
//     ...}]},
//      "rows": [{"section", "title", "tick", "entries": [{"name", "impl", ..., "time_s", "gflops", ...}]}]}
#include "machine.hpp"
#include "table.hpp"

#include <heed/version.hpp>

namespace bench {
namespace {

/// Writes values one after another and puts the commas between them.
class writer {
public:
    explicit writer(std::FILE* to) : to_(to) {}

    void open(char bracket)
    {
        std::fputc(bracket, to_);
        first_ = true;
    }
    void close(char bracket)
    {
        std::fputc(bracket, to_);
        first_ = false;
    }
    /// On a line of its own.
    void next_line()
    {
        separate();
        std::fputc('\n', to_);
        first_ = true;
    }
    void key(const char* name)
    {
        separate();
        std::fprintf(to_, "\"%s\": ", name);
        first_ = true;
    }
    void value(const std::string& text)
    {
        separate();
        std::fputc('"', to_);
        for (const char c : text) {
            if (c == '"' || c == '\\') std::fputc('\\', to_);
            std::fputc(static_cast<unsigned char>(c) < ' ' ? ' ' : c, to_);
        }
        std::fputc('"', to_);
    }
    void value(double x)
    {
        separate();
        std::fprintf(to_, "%.8g", x);
    }
    template <class T>
    void field(const char* name, const T& x)
    {
        key(name);
        if constexpr (std::is_arithmetic_v<T>) value(static_cast<double>(x));
        else value(std::string(x));
    }

private:
    void separate()
    {
        if (!first_) std::fputs(", ", to_);
        first_ = false;
    }
    std::FILE* to_;
    bool first_ = true;
};

void write_machine(writer& w, const std::map<int, limits>& by_threads)
{
    const machine& m = this_machine();
    w.key("machine");
    w.open('{');
    w.field("cpu", m.cpu);
    w.field("threads", m.threads);
    w.field("isa", m.isa);
    w.field("compiler", m.compiler);
    w.field("l2_bytes", m.l2_bytes);
    w.field("l3_bytes", m.l3_bytes);
    w.key("ceilings");
    w.open('[');
    for (const auto& [threads, c] : by_threads) {
        w.next_line();
        w.open('{');
        w.field("threads", threads);
        w.field("gflops", c.peak);
        if (c.bf16_peak > 0) w.field("bf16_gflops", c.bf16_peak);
        w.field("gbps", c.bandwidth);
        w.close('}');
    }
    w.close(']');
    w.close('}');
}

void write_entry(writer& w, const entry& e)
{
    const bench_case& c = e.problem;
    w.next_line();
    w.open('{');
    w.field("name", c.name);
    w.field("impl", c.impl);
    w.field("phase", c.phase);
    w.field("products", c.native ? "bf16" : "f32");
    w.field("keys", c.keys);
    w.field("threads", c.threads);
    w.field("flops", c.flops());
    w.field("kv_bytes", c.kv_bytes());
    w.field("tensor_bytes", c.tensor_bytes());
    w.field("samples", e.samples);
    w.field("time_s", e.result.time);
    w.field("gflops", e.result.gflops);
    w.field("of_peak", e.result.of_peak);
    w.field("kv_gbps", e.result.kv_gbps);
    w.field("of_stream", e.result.of_stream);
    w.field("heed_is_faster", e.heed_is_faster);
    w.field("description", e.description);
    w.close('}');
}

}  // namespace

bool write_json(const table_results& results, std::FILE* to)
{
    writer w(to);
    w.open('{');
    w.field("format", "heed-bench table 1");
    w.field("heed", HEED_VERSION_STRING);
    w.next_line();
    write_machine(w, results.by_threads);
    w.next_line();
    w.key("rows");
    w.open('[');
    for (const row_results& r : results.rows) {
        w.next_line();
        w.open('{');
        w.field("section", r.row.section);
        w.field("title", r.row.title);
        w.field("tick", r.row.tick);
        w.key("entries");
        w.open('[');
        for (const entry& e : r.entries) write_entry(w, e);
        w.close(']');
        w.close('}');
    }
    w.close(']');
    w.close('}');
    std::fputc('\n', to);
    return std::fflush(to) == 0 && !std::ferror(to);
}

}  // namespace bench
