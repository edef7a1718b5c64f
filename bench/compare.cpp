// SPDX-License-Identifier: MIT
#include "compare.hpp"
#include "file.hpp"
#include "machine.hpp"

#include <cmath>
#include <cstdio>

#if defined(HEED_BENCH_JSON)
#include <nlohmann/json.hpp>

#include <fstream>
#include <map>
#include <vector>
#endif

namespace bench {

change change_of(const spread& before, const spread& after)
{
    if (!(before.median > 0) || !(after.median > 0)) return {1, 0};
    const double a = before.standard_error() / before.median, b = after.standard_error() / after.median;
    return {after.median / before.median, 3 * std::hypot(a, b)};
}

std::string change::verdict() const
{
    if (std::abs(ratio - 1) <= noise) return "the same";
    return ratio > 1 ? "faster" : "slower";
}

#if defined(HEED_BENCH_JSON)
namespace {

using nlohmann::json;

spread spread_in(const json& entry, const char* key)
{
    const json& quartiles = entry.at(std::string(key) + "_quartiles");
    return {entry.at(key).get<double>(), quartiles.at(0).get<double>(), quartiles.at(1).get<double>(),
            entry.at("samples").get<std::size_t>()};
}

struct measured {
    std::string name, section, title;
    double time = 0;
    spread of_ceiling;
};

struct results {
    std::vector<std::pair<std::string, std::string>> made_on;
    std::vector<measured> cases;  // of heed
};

results read(const std::string& file)
{
    std::ifstream in(file);
    if (!in) throw failure("can not read " + file);
    const json j = json::parse(in, nullptr, false);
    if (j.is_discarded()) throw failure(file + " is no JSON, or cut short");
    try {
        if (j.at("format") != "heed-bench table 2") throw failure("\"format\" is not \"heed-bench table 2\"");
        results r;
        r.made_on.push_back({"heed", j.at("heed")});
        for (const char* key : {"cpu", "isa", "compiler"}) r.made_on.push_back({key, j.at("machine").at(key)});
        for (const json& l : j.at("libraries"))
            r.made_on.push_back(
                {l.at("impl"), l.at("version").get<std::string>() + ", " + l.at("kernel").get<std::string>()});
        r.made_on.push_back({"warning", j.at("machine").at("warning")});
        for (const json& row : j.at("rows")) {
            const json& e = row.at("entries").at(0);
            const bool decode = e.at("phase") == "decode";
            r.cases.push_back({e.at("name"), row.at("section"), row.at("title"), e.at("time_s").get<double>(),
                               spread_in(e, decode ? "of_stream" : "of_peak")});
        }
        return r;
    } catch (const std::exception& e) {
        throw failure(file + " is not what heed-bench --table writes: " + e.what());
    }
}

void print_differences(const results& before, const results& after)
{
    std::map<std::string, std::string> was(before.made_on.begin(), before.made_on.end());
    for (const auto& [key, is] : after.made_on) {
        if (was[key] != is)
            std::printf("  %-10s A: %s\n             B: %s\n", key.c_str(), was[key].empty() ? "-" : was[key].c_str(),
                        is.empty() ? "-" : is.c_str());
        was.erase(key);
    }
    for (const auto& [key, value] : was) std::printf("  %-10s A: %s\n             B: -\n", key.c_str(), value.c_str());
}

}  // namespace

int print_comparison(const std::string& before_file, const std::string& after_file)
{
    const results before = read(before_file), after = read(after_file);
    std::printf("A: %s\nB: %s\n", before_file.c_str(), after_file.c_str());
    print_differences(before, after);
    std::map<std::string, const measured*> was;
    for (const measured& m : before.cases) was.emplace(m.name, &m);
    std::map<std::string, int> verdicts;
    std::string section;
    double logs = 0;
    int count = 0;
    for (const measured& now : after.cases) {
        const auto found = was.find(now.name);
        if (found == was.end()) continue;
        if (section != now.section) {
            section = now.section;
            std::printf("\n%-64s %9s %9s %9s %8s\n", section.c_str(), "A ms", "B ms", "change", "noise");
        }
        const change c = change_of(found->second->of_ceiling, now.of_ceiling);
        const std::string verdict = c.verdict();
        std::printf("  %-62s %9.3f %9.3f %+8.1f%% %7.1f%%   %s\n", now.title.c_str(), found->second->time * 1e3,
                    now.time * 1e3, 100 * (c.ratio - 1), 100 * c.noise, verdict == "the same" ? "" : verdict.c_str());
        ++verdicts[verdict];
        logs += std::log(c.ratio);
        ++count;
        was.erase(found);
    }
    if (count == 0) throw failure("no case of heed stands in both " + before_file + " and " + after_file);
    std::printf(
        "\n%d cases: %d faster, %d slower, %d the same within the noise; all together %+.1f%%.\n"
        "A change is one of the share of the machine's peak or read bandwidth, which were measured beside each\n"
        "sample; noise is three standard errors of the medians, by their quartiles.\n",
        count, verdicts["faster"], verdicts["slower"], verdicts["the same"], 100 * (std::exp(logs / count) - 1));
    return 0;
}
#else
int print_comparison(const std::string&, const std::string&)
{
    throw failure("--compare was not built, for want of nlohmann's JSON: apt-get install nlohmann-json3-dev");
}
#endif

}  // namespace bench
