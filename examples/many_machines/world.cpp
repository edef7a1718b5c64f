// SPDX-License-Identifier: MIT
#include "world.hpp"

#include <cinttypes>
#include <cstdio>

namespace many_machines {

int64 world::sum(int64 mine) const
{
    int64 all = 0;
    PMPI_Allreduce(&mine, &all, 1, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    return all;
}

double world::largest(double mine) const
{
    double all = 0;
    PMPI_Allreduce(&mine, &all, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    return all;
}

void world::heading(const char* text, const char* columns)
{
    if (prints()) std::printf("\n%-36s %s\n", text, columns);
}

void world::line(const std::string& name, bool has_same_bits, double tree_difference, int64 bytes, int64 formula)
{
    const bool same = sum(has_same_bits ? 0 : 1) == 0;
    const double difference = largest(tree_difference);
    // it may be 0: a tree of two ranks with a tile each has the bits of one machine
    const bool well = same && bytes == formula && difference < 1e-5;
    all_well_ = all_well_ && well;
    if (!prints()) return;
    std::printf("%-36s %-15s ", name.c_str(), same ? "same bits" : "OTHER BITS");
    if (difference >= 0) std::printf("%-20.1e ", difference);
    std::printf("%10" PRId64 "%s\n", bytes, bytes == formula ? "" : ("  NOT " + std::to_string(formula)).c_str());
}

void world::line(const std::string& name, bool is_well, const std::string& what)
{
    const bool well = sum(is_well ? 0 : 1) == 0;
    all_well_ = all_well_ && well;
    if (prints()) std::printf("%-36s %s%s\n", name.c_str(), well ? "" : "NOT ", what.c_str());
}

}  // namespace many_machines
