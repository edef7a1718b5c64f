// SPDX-License-Identifier: MIT
// A table as comma-separated values (RFC 4180): a head, and a line for each contestant of a row.
#include "table.hpp"

#include <cstdio>

namespace bench {
namespace {

std::string quoted(const std::string& text)
{
    std::string q = "\"";
    for (const char c : text) q += c == '"' ? std::string("\"\"") : std::string(1, c);
    return q + '"';
}

std::string number(double x)
{
    char text[32];
    std::snprintf(text, sizeof(text), ",%.8g", x);
    return text;
}

std::string with_quartiles(const spread& x) { return number(x.median) + number(x.low) + number(x.high); }

}  // namespace

std::string csv_of(const table_results& results)
{
    std::string text = "section,title,name,impl,threads";
    for (const char* column : {"time_s", "of_peak", "of_stream", "heed_is_faster"})
        for (const char* part : {"", "_low", "_high"}) text += std::string(",") + column + part;
    text += ",gflops,kv_gbps,p50_s,p99_s,samples,runs\n";
    for (const row_results& r : results.rows)
        for (const entry& e : r.entries) {
            const numbers& n = e.result;
            text += quoted(r.row.section) + ',' + quoted(r.row.title) + ',' + quoted(e.problem.name) + ',' +
                    quoted(e.problem.impl) + number(e.problem.threads);
            for (const spread* s : {&n.time, &n.of_peak, &n.of_stream, &e.heed_is_faster}) text += with_quartiles(*s);
            for (const double x :
                 {n.gflops, n.kv_gbps, n.p50, n.p99, static_cast<double>(n.time.samples), static_cast<double>(n.runs)})
                text += number(x);
            text += '\n';
        }
    return text;
}

}  // namespace bench
