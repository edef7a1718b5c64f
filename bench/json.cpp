// SPDX-License-Identifier: MIT
// The results of a table as JSON, which heed-plot draws:
//
//     {"format": "heed-bench table 2", "heed": "0.1.0",
//      "machine": {..., "ceilings": [{"threads", "gflops", "gflops_quartiles": [_, _], "gbps", ..., "cpus": [_]}]},
//      "libraries": [{"impl", "name", "version", "kernel", "vector_bits", "threads"}],
//      "rows": [{"section", "title", "tick", "entries": [{"name", "impl", ..., "time_s", "time_s_quartiles", ...}]}]}
#include "machine.hpp"
#include "restart.hpp"
#include "table.hpp"

#include <heed/base/version.hpp>

#include <cstdio>

namespace bench {
namespace {

/// Writes values one after another and puts the commas between them.
class writer {
public:
    void open(char bracket)
    {
        text_ += bracket;
        first_ = true;
    }
    void close(char bracket)
    {
        text_ += bracket;
        first_ = false;
    }
    /// On a line of its own.
    void next_line()
    {
        separate();
        text_ += '\n';
        first_ = true;
    }
    void key(const std::string& name)
    {
        separate();
        text_ += '"' + name + "\": ";
        first_ = true;
    }
    void value(const std::string& of)
    {
        separate();
        text_ += '"';
        for (const char c : of) {
            if (c == '"' || c == '\\') text_ += '\\';
            text_ += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
        }
        text_ += '"';
    }
    void value(double x)
    {
        separate();
        char number[32];
        std::snprintf(number, sizeof(number), "%.8g", x);
        text_ += number;
    }
    template <class T>
    void field(const std::string& name, const T& x)
    {
        key(name);
        if constexpr (std::is_arithmetic_v<T>) value(static_cast<double>(x));
        else value(std::string(x));
    }
    /// The median, and name_quartiles: [low, high].
    void field(const std::string& name, const spread& of)
    {
        field(name, of.median);
        key(name + "_quartiles");
        open('[');
        value(of.low);
        value(of.high);
        close(']');
    }
    const std::string& text() const { return text_; }

private:
    void separate()
    {
        if (!first_) text_ += ", ";
        first_ = false;
    }
    std::string text_;
    bool first_ = true;
};

void write_machine(writer& w, const table_results& results)
{
    const machine& m = this_machine();
    w.key("machine");
    w.open('{');
    w.field("cpu", m.cpu);
    w.field("threads", m.threads);
    w.field("isa", m.isa);
    w.field("vector_bits", vector_bits_of_heed());
    w.field("compiler", m.compiler);
    w.field("l2_bytes", m.l2_bytes);
    w.field("l3_bytes", m.l3_bytes);
    w.field("load", results.machine.load);
    w.field("cpus_used_by_others", results.machine.neighbours);
    w.field("warning", doubts_about(results));
    w.field("started_again", changes_for_peers());
    w.key("ceilings");
    w.open('[');
    for (const auto& [threads, c] : results.by_threads) {
        w.next_line();
        w.open('{');
        w.field("threads", threads);
        w.field("gflops", c.peak);
        if (c.bf16_peak.samples > 0) w.field("bf16_gflops", c.bf16_peak);
        w.field("gbps", c.bandwidth);
        w.field("samples", c.bandwidth.samples);
        w.key("cpus");
        w.open('[');
        for (const int cpu : c.cpus) w.value(cpu);
        w.close(']');
        w.close('}');
    }
    w.close(']');
    w.close('}');
}

void write_libraries(writer& w)
{
    w.key("libraries");
    w.open('[');
    for (const implementation& i : implementations()) {
        if (!i.is_peer()) continue;
        const library l = i.about();
        w.next_line();
        w.open('{');
        w.field("impl", i.name);
        w.field("name", l.name);
        w.field("version", l.version);
        w.field("kernel", l.kernel);
        w.field("vector_bits", l.vector_bits);
        w.field("threads", l.threads);
        w.close('}');
    }
    w.close(']');
}

void write_entry(writer& w, const entry& e)
{
    const bench_case& c = e.problem;
    w.next_line();
    w.open('{');
    w.field("name", c.name);
    w.field("impl", c.impl);
    w.field("phase", c.phase);
    w.field("products", c.native               ? "bf16"
                        : c.integer_bits == 16 ? "int8 by 16 bits"
                        : c.integer_bits == 8  ? "int8"
                                               : "f32");
    w.field("keys", c.keys);
    w.field("threads", c.threads);
    w.field("flops", c.flops());
    w.field("kv_bytes", c.kv_bytes());
    w.field("tensor_bytes", c.tensor_bytes());
    w.field("samples", e.result.time.samples);
    w.field("time_s", e.result.time);
    w.field("gflops", e.result.gflops);
    w.field("of_peak", e.result.of_peak);
    w.field("kv_gbps", e.result.kv_gbps);
    w.field("of_stream", e.result.of_stream);
    w.field("heed_is_faster", e.heed_is_faster);
    w.field("runs", e.result.runs);
    w.field("p50_s", e.result.p50);
    w.field("p99_s", e.result.p99);
    w.field("description", e.description);
    w.close('}');
}

}  // namespace

std::string json_of(const table_results& results)
{
    writer w;
    w.open('{');
    w.field("format", "heed-bench table 2");
    w.field("heed", HEED_VERSION_STRING);
    w.next_line();
    write_machine(w, results);
    w.next_line();
    write_libraries(w);
    w.next_line();
    w.key("rows");
    w.open('[');
    for (const row_results& r : results.rows) {
        if (r.entries.empty()) continue;
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
    return w.text() + "\n";
}

}  // namespace bench
