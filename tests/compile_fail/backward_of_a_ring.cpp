// expect: heed: backward takes k and v as two views
#include <heed/heed.hpp>

heed::status f(heed::view<const float> x, [[maybe_unused]] heed::ring_kv<const float, const float> cache,
               heed::row_statistics<float> stats, heed::gradients<float> to)
{
#ifdef VALID
    return heed::backward(heed::softpick{}, x, x, x, x, stats, x, to);
#else
    return heed::backward(heed::softpick{}, x, cache, x, stats, x, to);
#endif
}
