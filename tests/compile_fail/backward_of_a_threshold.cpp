// expect: heed: there is no backward pass yet of a normalizer with a threshold
#include <heed/heed.hpp>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<const float> out, heed::row_statistics<float> stats, heed::gradients<float> to)
{
#ifdef VALID
    return heed::backward(heed::attention{heed::softmax{}}, q, k, v, out, stats, out, to);
#else
    return heed::backward(heed::attention{heed::entmax15{}}, q, k, v, out, stats, out, to);
#endif
}
