// SPDX-License-Identifier: MIT
// Checks of examples/many_machines that take seconds to compile, for seeded bugs (tests/mutants/run).
#include "../../examples/many_machines/decode.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv)
{
    MPI_Init(&argc, &argv);
    int rank = 0, size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    many_machines::world w(rank, size);
    try {
        many_machines::decode<many_machines::reference::own_communicator>(
            w, "softmax", heed::attention{heed::softmax{}, heed::causal{}});
        many_machines::check_travel(w);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    MPI_Finalize();
    return w.all_well() ? 0 : 1;
}
