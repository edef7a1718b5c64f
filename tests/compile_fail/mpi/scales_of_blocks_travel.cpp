// expect: heed: keys with scales of blocks of tokens do not travel between ranks yet
#include <heed/adapt/mpi.hpp>
#include <heed/heed.hpp>

template <class Kv>
heed::status f(const Kv& kv)
{
    const heed::mpi::span<Kv> keys[] = {{kv, 0}, {kv, 512}};
    return heed::mpi::travel(
        keys, [](auto, auto) { return true; }, [](const auto&, const auto&) { return heed::status(); });
}

heed::status g(heed::view<const heed::codes<4>> k, heed::view<const float> v,
               [[maybe_unused]] heed::view<const float> scales)
{
    [[maybe_unused]] const heed::dense_kv rows{k, v};
#ifdef VALID
    return f(heed::dense_kv{v, v});
#else
    return f(heed::scaled_kv{rows, heed::per_channel_block{scales, scales, 64}, heed::unscaled{}});
#endif
}
