// expect: heed: beside a kv source backward takes heed::output_gradients
#include <heed/heed.hpp>

heed::status f(heed::view<const float> x, heed::ring_kv<const float, const float> cache,
               heed::row_statistics<float> stats, heed::gradients<float> to)
{
#ifdef VALID
    return heed::backward(heed::softpick{}, x, cache, heed::output_gradients{x, stats, x}, to);
#else
    return heed::backward(heed::softpick{}, x, cache, x, stats, x, to);
#endif
}
