// expect: heed: scales of blocks of tokens lie beside dense_kv or paged_kv: elsewhere tokens move within blocks
#include <heed/heed.hpp>

heed::status f(heed::view<const float> q, heed::view<const heed::codes<8>> k, heed::view<const float> v,
               [[maybe_unused]] heed::index_view lengths, heed::per_channel_block<const float> scales,
               heed::view<float> out)
{
#ifdef VALID
    const heed::dense_kv rows{k, v};
#else
    const heed::ring_kv rows{k, v, lengths};
#endif
    return heed::attend(heed::attention{heed::softmax{}}, q, heed::scaled_kv{rows, scales, heed::unscaled{}}, out);
}
