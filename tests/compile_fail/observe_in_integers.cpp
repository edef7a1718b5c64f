// expect: heed: observe computes in float or double; leave compute<std::int8_t> out
#include <heed/observe.hpp>

heed::status f(heed::view<const float> x, heed::row_statistics<float> stats, heed::number_view<float> to)
{
#ifdef VALID
    return heed::key_totals(heed::attention{heed::softmax{}}, x, x, stats, to);
#else
    return heed::key_totals(heed::attention{heed::softmax{}, heed::compute<std::int8_t>{}}, x, x, stats, to);
#endif
}
