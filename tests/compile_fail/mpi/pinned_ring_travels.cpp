// expect: heed: a ring that has lost tokens does not travel between ranks
#include <heed/adapt/mpi.hpp>
#include <heed/heed.hpp>

heed::status f(heed::view<const float> k, heed::index_view lengths)
{
#ifdef VALID
    const heed::mpi::span<heed::ring_kv<const float>> keys[] = {{{k, k, lengths}, 0}, {{k, k, lengths}, 512}};
#else
    const heed::mpi::span<heed::pinned_ring_kv<const float>> keys[] = {{{k, k, lengths, 4}, 0},
                                                                       {{k, k, lengths, 4}, 512}};
#endif
    return heed::mpi::travel(
        keys, [](auto, auto) { return true; }, [](const auto&, const auto&) { return heed::status(); });
}
