// SPDX-License-Identifier: MIT
// Takes the place of ranks.cpp where there is no MPI.
#include "ranks.hpp"

int llama2c::on_ranks(int, char**, const std::function<int(ranks&)>&)
{
    throw input_error("--ranks: this storyteller was built without MPI: apt-get install libopenmpi-dev openmpi-bin, "
                      "and build it again");
}
