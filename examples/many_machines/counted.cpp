// SPDX-License-Identifier: MIT
// MPI's profiling interface: these stand before the functions of the library, and count what they are given.
#include "world.hpp"

namespace {

many_machines::traffic total;

std::int64_t bytes_of(int count, MPI_Datatype type)
{
    int size = 0;
    PMPI_Type_size(type, &size);
    return std::int64_t{count} * size;
}

}  // namespace

many_machines::traffic many_machines::counted() { return total; }

extern "C" {

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm, MPI_Request* request)
{
    total.sent += bytes_of(count, type);
    return PMPI_Isend(data, count, type, to, tag, comm, request);
}

int MPI_Ireduce(const void* data, void* result, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm,
                MPI_Request* request)
{
    total.reduced += bytes_of(count, type);
    return PMPI_Ireduce(data, result, count, type, op, root, comm, request);
}

int MPI_Ibcast(void* data, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request)
{
    int rank = 0;
    PMPI_Comm_rank(comm, &rank);
    if (rank == root) total.broadcast += bytes_of(count, type);
    return PMPI_Ibcast(data, count, type, root, comm, request);
}
}
