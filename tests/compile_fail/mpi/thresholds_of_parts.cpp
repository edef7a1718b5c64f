// expect: heed: the threshold of a row needs all its keys
#include <heed/adapt/mpi.hpp>
#include <heed/heed.hpp>

#include <vector>

heed::status f(heed::view<const float> q, heed::dense_kv<const float> kv, heed::view<float> out,
               [[maybe_unused]] std::vector<heed::row_threshold<float>>& taus)
{
#ifdef VALID
    return heed::mpi::attend(heed::attention{heed::entmax15{}, heed::known_thresholds{taus}}, q, kv, out);
#else
    return heed::mpi::attend(heed::entmax15{}, q, kv, out);
#endif
}
