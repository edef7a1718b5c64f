// SPDX-License-Identifier: MIT
#include "results.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <fstream>
#include <stdexcept>

namespace plot {
namespace {

using nlohmann::json;

constexpr const char* format = "heed-bench table 2";

/// A finite number from 0 on.
double amount(const json& object, const char* key)
{
    const double x = object.at(key).get<double>();
    if (!std::isfinite(x) || x < 0) throw std::runtime_error(std::string("\"") + key + "\" is no amount");
    return x;
}

entry read_entry(const json& e, const json& heed, const std::map<int, ceilings>& limits)
{
    const double faster = amount(e, "heed_is_faster");
    if (faster == 0) throw std::runtime_error("\"heed_is_faster\" is 0");
    const int threads = e.at("threads").get<int>();
    const auto limit = limits.find(threads);
    if (limit == limits.end()) throw std::runtime_error("no ceilings of " + std::to_string(threads) + " threads");
    const bool bf16_products = e.at("products") == "bf16";
    const double peak = bf16_products ? limit->second.bf16_gflops : limit->second.gflops;
    return {e.at("name"),
            e.at("impl"),
            e.at("phase"),
            bf16_products,
            threads,
            amount(e, "keys"),
            amount(e, "flops"),
            amount(e, "kv_bytes"),
            amount(e, "tensor_bytes"),
            amount(heed, "of_peak") * peak / faster,
            amount(heed, "of_stream") * limit->second.gbps / faster};
}

/// Others are heed otherwise: over a cache in another order, with observe() behind it.
bool is_contestant(const std::string& impl)
{
    for (const char* known : {"heed", "openblas", "onednn", "eigen", "fused"})
        if (impl == known) return true;
    return false;
}

results read(const json& j)
{
    results r;
    const json& m = j.at("machine");
    const int threads = m.at("threads").get<int>();
    r.machine = m.at("cpu").get<std::string>() + ", " + std::to_string(threads) +
                (threads == 1 ? " thread" : " threads") + ", " + m.at("isa").get<std::string>() + ", " +
                m.at("compiler").get<std::string>() + ", heed " + j.at("heed").get<std::string>();
    r.l2_bytes = amount(m, "l2_bytes");
    r.l3_bytes = amount(m, "l3_bytes");
    for (const json& c : m.at("ceilings"))
        r.limits[c.at("threads").get<int>()] = {amount(c, "gflops"), amount(c, "gbps"),
                                                c.contains("bf16_gflops") ? amount(c, "bf16_gflops") : 0};
    for (const json& l : j.at("libraries")) r.libraries[l.at("impl")] = {l.at("version"), l.at("kernel")};
    for (const json& from : j.at("rows")) {
        row to{from.at("section"), from.at("title"), from.at("tick"), {}};
        const json& entries = from.at("entries");
        for (const json& e : entries)
            if (is_contestant(e.at("impl"))) to.entries.push_back(read_entry(e, entries.at(0), r.limits));
        if (to.entries.empty() || to.heed().impl != "heed") throw std::runtime_error("a row does not start with heed");
        r.rows.push_back(to);
    }
    return r;
}

}  // namespace

results read_results(const std::string& file)
{
    std::ifstream in(file);
    if (!in) throw std::runtime_error("can not read " + file);
    const json j = json::parse(in, nullptr, false);
    if (j.is_discarded()) throw std::runtime_error(file + " is no JSON, or cut short");
    if (!j.is_object() || j.value("format", json()) != format)
        throw std::runtime_error(file + " is not what heed-bench --table writes: no \"format\": \"" + format + "\"");
    try {
        return read(j);
    } catch (const std::exception& e) {
        throw std::runtime_error(file + ": " + e.what());
    }
}

}  // namespace plot
