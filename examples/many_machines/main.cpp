// SPDX-License-Identifier: MIT
// Attention to a sequence whose keys lie on several machines: the same on these ranks and in one process, bit by bit,
// and the bytes that it takes.
#include "../program/arguments.hpp"
#include "../program/guarded_main.hpp"
#include "world.hpp"

#include <cstdio>

namespace {

using namespace many_machines;

const char usage[] =
    "usage: mpirun -n P many_machines                               every check, on P ranks\n"
    "       many_machines --table                                   what the bytes mean for 2 to 64 machines\n"
    "       mpirun -n P many_machines --silent RANK [--timeout S]   one rank says nothing: the others give up\n";

struct settings {
    int64 silent = -1;
    double timeout = 1;
    bool table = false;
};

settings parse(int argc, char** argv)
{
    settings s;
    for (int i = 1; i < argc; ++i) {
        const std::string a = argv[i];
        const auto value = [&] {
            if (++i >= argc) throw llama2c::input_error(a + ": needs a value");
            return std::string(argv[i]);
        };
        if (a == "--table") s.table = true;
        else if (a == "--silent") s.silent = llama2c::whole_number(a, value(), 0, 1 << 20);
        else if (a == "--timeout") s.timeout = llama2c::number(a, value(), 0, 1e6);
        else throw llama2c::input_error(a + ": unknown option");
    }
    return s;
}

/// All checks on the ranks there are.
int check_all(const settings& s)
{
    int rank = 0, size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    world w(rank, size);
    if (s.silent >= size)
        throw llama2c::input_error("--silent " + std::to_string(s.silent) + ": there are " + std::to_string(size) +
                                   " ranks");
    if (s.silent >= 0) {
        wait_for(w, s.silent, s.timeout);
        return 0;
    }
    if (w.prints()) std::printf("%d rank%s\n", size, size == 1 ? "" : "s");
    check_softmax(w);
    check_ratios(w);
    check_ordered(w);
    check_thresholds(w);
    check_sums(w);
    check_shares(w);
    check_caches(w);
    check_scales(w);
    check_batches(w);
    check_travel(w);
    check_errors(w);
    if (w.prints()) std::printf("\n%s\n", w.all_well() ? "all as on one machine" : "NOT all as on one machine");
    return w.all_well() ? 0 : 1;
}

int run(int argc, char** argv)
{
    const settings s = parse(argc, argv);
    if (s.table) {
        print_table();
        return 0;
    }
    MPI_Init(&argc, &argv);
    try {
        const int code = check_all(s);
        MPI_Finalize();
        return code;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "many_machines: %s\n", e.what());
        MPI_Abort(MPI_COMM_WORLD, 2);  // the others may wait for this rank
        return 2;
    }
}

}  // namespace

int main(int argc, char** argv) { return llama2c::guarded_main("many_machines", usage, argc, argv, run); }
