// SPDX-License-Identifier: MIT
// The ranks of this program, and what they found.
#pragma once

#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1  // of <mpi.h>, C alone
#endif
#include <cstdint>
#include <mpi.h>
#include <string>

namespace many_machines {

using int64 = std::int64_t;

/// What this process handed to MPI, counted by MPI's profiling interface (counted.cpp), in bytes.
struct traffic {
    int64 sent = 0;       // by MPI_Isend
    int64 reduced = 0;    // by MPI_Ireduce, a rank's own contribution
    int64 broadcast = 0;  // by MPI_Ibcast, of the rank that has the data
};
traffic counted();

/// One machine among several, and the table that the first of them prints.
class world {
public:
    world(int rank, int size) : rank_(rank), size_(size) {}

    int rank() const { return rank_; }
    int size() const { return size_; }
    bool prints() const { return rank_ == 0; }
    bool all_well() const { return all_well_; }

    void heading(const char* text, const char* columns);
    /// A line of the table: whether all ranks have the bits of one machine; by how much the tree differs from it, below
    /// 0 where there is none; bytes sent by all ranks, and what the formula says.
    void line(const std::string& name, bool has_same_bits, double tree_difference, int64 bytes, int64 formula);
    /// A line of another kind: what it is, and whether it is as it should be.
    void line(const std::string& name, bool is_well, const std::string& what);

    /// The sum over all ranks, on each.
    int64 sum(int64 mine) const;
    double largest(double mine) const;

private:
    int rank_, size_;
    bool all_well_ = true;
};

/// Bytes that all ranks sent between now and the end of a call.
class sent_bytes {
public:
    explicit sent_bytes(const world& of) : of_(of), before_(counted()) {}
    int64 sent() const { return of_.sum(counted().sent - before_.sent); }
    int64 reduced() const { return of_.sum(counted().reduced - before_.reduced); }

private:
    const world& of_;
    traffic before_;
};

// The checks, a file each.
void check_softmax(world&);
void check_ratios(world&);
void check_ordered(world&);
void check_thresholds(world&);
void check_sums(world&);
void check_shares(world&);
void check_caches(world&);
void check_scales(world&);
void check_batches(world&);
void check_travel(world&);
void check_errors(world&);
/// A decode step in which one rank takes no part, and the others wait for it that long.
void wait_for(const world&, int64 silent, double seconds);

void print_table();

}  // namespace many_machines
