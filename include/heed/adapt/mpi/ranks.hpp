// SPDX-License-Identifier: MIT
// The ranks of an MPI communicator as calls of heed's meet on them: what they wait for has a limit, and what is wrong
// on one is an error on all. mpi.hpp has the verbs.
#pragma once

#include "../../state.hpp"

// of <mpi.h>, C alone
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <climits>
#include <cstdlib>
#include <mpi.h>
#include <thread>

HEED_BEGIN
namespace mpi {

/// How the states of ranks become one.
enum class combine {
    in_order,  ///< from rank to rank in the order of keys: the bits of one machine, whatever the number of ranks
    as_tree,   ///< by MPI_Reduce: log P steps; the bits depend on the number of ranks and on the MPI library
};

/// How a call is computed, and with whom.
struct options {
    /// The ranks that take part; a call is collective. Its messages have the tag heed::mpi::message_tag: give heed a
    /// communicator of its own (MPI_Comm_dup) where yours may have the same in flight.
    MPI_Comm comm = MPI_COMM_WORLD;
    executor_ref executor = {};      ///< who runs this rank's tasks; the calling thread unless named
    heed::workspace workspace = {};  ///< workspace_bytes() says how much; allocated where none is given
    heed::mpi::combine combine = heed::mpi::combine::in_order;  ///< how the states of ranks become one
    /// The rank whose queries all are sent before they attend, into their own q, whose elements are not const then; -1:
    /// each has them already.
    int queries_from = -1;
    /// How long a rank waits for another. Then it says so on stderr and calls MPI_Abort: what is under way would write
    /// into the caller's memory whenever it comes, so that there is nothing to return to.
    double timeout_seconds = 60;
};

inline constexpr int message_tag = 0x6865;  ///< the tag of heed's own messages

}  // namespace mpi

namespace detail {

/// A size that must be the same on all ranks.
struct agreed_size {
    const char* name;
    std::int64_t value;
};

/// The ranks of a call.
class mpi_ranks {
public:
    mpi_ranks(const char* verb, const mpi::options& how) : verb_(verb), comm_(how.comm), timeout_(how.timeout_seconds)
    {
        int is_up = 0, is_down = 0, is_inter = 0;
        if (MPI_Initialized(&is_up); is_up) MPI_Finalized(&is_down);
        if (!is_up || is_down)
            status_ = status::error(errc::invalid_argument, "%s: MPI is not running: MPI_Init first", verb);
        else if (comm_ == MPI_COMM_NULL)
            status_ = status::error(errc::invalid_argument, "%s: comm is MPI_COMM_NULL", verb);
        else if (must(MPI_Comm_test_inter(comm_, &is_inter)); is_inter)
            status_ = status::error(errc::invalid_argument, "%s: comm has two groups; ranks are those of one", verb);
        if (!status_) return;
        must(MPI_Comm_rank(comm_, &rank_));
        must(MPI_Comm_size(comm_, &size_));
    }

    /// Why there are no ranks, if there are none: the only error that the others do not hear of.
    const heed::status& status() const { return status_; }
    const char* verb() const { return verb_; }
    MPI_Comm comm() const { return comm_; }
    int rank() const { return rank_; }
    int size() const { return size_; }

    /// A call of MPI's that fails is the end of the program, in a communicator that returns its errors as well.
    void must(int code) const
    {
        if (code == MPI_SUCCESS) return;
        char text[MPI_MAX_ERROR_STRING] = "";
        int length = 0;
        MPI_Error_string(code, text, &length);
        end("%s", text);
    }

    /// Waits for messages of `peer`, or, where that is below 0, of any rank.
    void wait(MPI_Request* requests, int n, const char* what, int peer) const
    {
        const double begin = MPI_Wtime();
        for (int done = 0;;) {
            must(MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE));
            if (done) return;
            if (MPI_Wtime() - begin > timeout_) break;
            std::this_thread::yield();
        }
        if (peer >= 0) end("waited %g s for %s rank %d, which is silent", timeout_, what, peer);
        end("waited %g s for %s the other ranks, of which one at least is silent", timeout_, what);
    }
    void wait(MPI_Request& request, const char* what, int peer = -1) const { wait(&request, 1, what, peer); }

    /// Lets MPI move what is under way.
    void progress(MPI_Request* requests, int n) const
    {
        int done = 0;
        must(MPI_Testall(n, requests, &done, MPI_STATUSES_IGNORE));
    }

    void send(const void* data, std::int64_t bytes, int to, MPI_Request& request) const
    {
        must(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, mpi::message_tag, comm_, &request));
    }
    void receive(void* data, std::int64_t bytes, int from, MPI_Request& request) const
    {
        must(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, mpi::message_tag, comm_, &request));
    }

    /// The first error of any rank, on all of them; else that the sizes are the same on all.
    template <std::size_t N>
    heed::status agree(const heed::status& own, const agreed_size (&sizes)[N]) const
    {
        constexpr std::int64_t none = -size_limit - 1;
        std::int64_t most[1 + 2 * N];  // the rank that has an error, and of each size the most, and the least, negated
        most[0] = own ? 0 : rank_ + 1;
        for (std::size_t i = 0; i < N; ++i) {
            most[1 + 2 * i] = own ? sizes[i].value : none;
            most[2 + 2 * i] = own ? -sizes[i].value : none;
        }
        MPI_Request request;
        must(MPI_Iallreduce(MPI_IN_PLACE, most, 1 + 2 * int{N}, MPI_INT64_T, MPI_MAX, comm_, &request));
        wait(request, "the sizes of");
        if (most[0] > 0) return error_of(static_cast<int>(most[0]) - 1, own);
        for (std::size_t i = 0; i < N; ++i)
            if (most[1 + 2 * i] != -most[2 + 2 * i])
                return heed::status::error(
                    errc::invalid_argument, "%s: %s is %lld on rank %d, and %lld to %lld over the ranks", verb_,
                    sizes[i].name, static_cast<long long>(sizes[i].value), rank_,
                    static_cast<long long>(-most[2 + 2 * i]), static_cast<long long>(most[1 + 2 * i]));
        return {};
    }

private:
    /// The error of one rank, which all are told.
    heed::status error_of(int failed, const heed::status& own) const
    {
        struct {
            int code;
            char text[200];
        } said = {static_cast<int>(own.code()), ""};
        std::snprintf(said.text, sizeof(said.text), "%s", own.message());
        MPI_Request request;
        must(MPI_Ibcast(&said, sizeof(said), MPI_BYTE, failed, comm_, &request));
        wait(request, "an error of", failed == rank_ ? -1 : failed);
        if (!own) return own;
        return heed::status::error(static_cast<errc>(said.code), "rank %d: %s", failed, said.text);
    }

    __attribute__((format(HEED_PRINTF, 2, 3))) void end(const char* format, ...) const
    {
        char text[400];
        va_list values;
        va_start(values, format);
        std::vsnprintf(text, sizeof(text), format, values);
        va_end(values);
        std::fprintf(stderr, "heed: %s: rank %d of %d: %s\n", verb_, rank_, size_, text);
        std::fflush(stderr);
        MPI_Abort(comm_, 1);
        std::abort();  // where MPI_Abort returns
    }

    const char* verb_;
    MPI_Comm comm_;
    double timeout_;
    int rank_ = 0, size_ = 1;
    heed::status status_;
};

/// The memory of a call that has no error yet: the caller's workspace, or one of our own. An error is put into `own`.
class memory_of_call {
public:
    template <class Call>
    memory_of_call(const char* verb, Call& call, const workspace& given, status& own)
        : bytes_(own ? static_cast<std::size_t>(call.bytes().value()) : 0), memory_(given, bytes_)
    {
        if (own) own = memory_.check(verb, bytes_);
        if (own) own = check_workspace(verb, memory_.get(), bytes_);
        if (own) call.take(memory_.get().data);
    }

private:
    std::size_t bytes_;
    borrowed_workspace memory_;
};

template <class T>
MPI_Datatype mpi_number()
{
    return sizeof(T) == 4 ? MPI_FLOAT : MPI_DOUBLE;
}

/// The rows of a view, as they lie.
template <class E>
MPI_Datatype mpi_rows(const mpi_ranks& ranks, const view<E>& v)
{
    MPI_Datatype type, inner;
    const std::int64_t count[3] = {v.size.tokens, v.size.heads, v.size.batch};
    const std::int64_t stride[3] = {v.stride.tokens, v.stride.heads, v.stride.batch};
    ranks.must(MPI_Type_contiguous(static_cast<int>(elements_for<E>(v.size.dim) * sizeof(E)), MPI_BYTE, &inner));
    for (int i = 0; i < 3; ++i) {
        ranks.must(MPI_Type_create_hvector(static_cast<int>(count[i]), 1,
                                           static_cast<MPI_Aint>(stride[i] * v.stride_bytes()), inner, &type));
        MPI_Type_free(&inner);
        inner = type;
    }
    ranks.must(MPI_Type_commit(&type));
    return type;
}

}  // namespace detail
HEED_END
