// expect: heed: move_rows copies tokens as they are stored, and a block of tokens shares its scales: append the block
#include <heed/heed.hpp>
#include <heed/move_rows.hpp>

heed::status f([[maybe_unused]] heed::view<heed::codes<8>> k, heed::view<float> v,
               [[maybe_unused]] heed::per_channel_block<float> scales, heed::index_view from)
{
#ifdef VALID
    return heed::move_rows(heed::dense_kv{v, v}, 0, 0, from);
#else
    return heed::move_rows(heed::scaled_kv{heed::dense_kv{k, v}, scales, heed::unscaled{}}, 0, 0, from);
#endif
}
