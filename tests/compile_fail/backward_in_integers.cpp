// expect: heed: backward computes in float or double; leave compute<std::int8_t> out
#include <heed/heed.hpp>

heed::status f(heed::view<const float> x, heed::row_statistics<float> stats, heed::gradients<float> to)
{
#ifdef VALID
    return heed::backward(heed::attention{heed::softmax{}}, x, x, x, x, stats, x, to);
#else
    return heed::backward(heed::attention{heed::softmax{}, heed::compute<std::int8_t>{}}, x, x, x, x, stats, x, to);
#endif
}
