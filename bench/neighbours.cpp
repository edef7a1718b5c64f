// SPDX-License-Identifier: MIT
#include "neighbours.hpp"
#include "ceilings.hpp"

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

namespace bench {

double system_load()
{
    double load = -1;
    return getloadavg(&load, 1) == 1 ? load : -1;
}

neighbours::reading neighbours::now()
{
    reading r;
    r.wall = seconds();
#if defined(__linux__)
    timespec own{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own);
    r.own = static_cast<double>(own.tv_sec) + 1e-9 * static_cast<double>(own.tv_nsec);
    cpu_set_t usable;
    if (sched_getaffinity(0, sizeof(usable), &usable) != 0) return r;
    std::ifstream stat("/proc/stat");
    double ticks = -1;
    for (std::string line; std::getline(stat, line);) {
        std::istringstream words(line);
        std::string name;
        words >> name;
        if (name.size() < 4 || name.rfind("cpu", 0) != 0) continue;
        const int cpu = std::atoi(name.c_str() + 3);
        if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &usable)) continue;
        double user = 0, nice = 0, system = 0, idle = 0, waits = 0, irq = 0, softirq = 0, stolen = 0;
        words >> user >> nice >> system >> idle >> waits >> irq >> softirq >> stolen;
        ticks = std::max(ticks, 0.0) + user + nice + system + irq + softirq + stolen;
    }
    if (ticks >= 0) r.all = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
#endif
    return r;
}

double neighbours::busy_cpus() const
{
    const reading end = now();
    if (end.all < 0 || start_.all < 0 || !(end.wall > start_.wall)) return -1;
    return std::max(0.0, (end.all - start_.all) - (end.own - start_.own)) / (end.wall - start_.wall);
}

std::set<int> seats::look()
{
    std::set<int> cpus;
#if defined(__linux__)
    std::error_code error;
    for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task", error)) {
        std::ifstream stat(thread.path() / "stat");
        std::string text;
        std::getline(stat, text);
        const std::size_t name_ends = text.rfind(')');  // a name may hold spaces
        if (name_ends == std::string::npos) continue;
        std::istringstream words(text.substr(name_ends + 1));
        std::vector<std::string> field;  // from the third on
        for (std::string word; words >> word;) field.push_back(word);
        if (field.size() < 37) continue;
        std::string& before = time_of_[thread.path().filename()];
        const std::string time = field[11] + " " + field[12];  // utime, stime
        if (before != time) cpus.insert(std::atoi(field[36].c_str()));
        before = time;
    }
#endif
    return cpus;
}

std::string cpus_text(const std::set<int>& cpus)
{
    if (cpus.empty()) return "CPUs unknown";
    std::string text = cpus.size() == 1 ? "CPU " : "CPUs ";
    for (const int cpu : cpus) text += (cpu == *cpus.begin() ? "" : ", ") + std::to_string(cpu);
    return text;
}

}  // namespace bench
