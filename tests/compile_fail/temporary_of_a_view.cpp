// expect: heed: a view owns nothing, so what it sees outlives it and has a name
#include <heed/heed.hpp>

#include <vector>

std::vector<float> queries();

heed::status call(heed::view<const float> k, heed::view<const float> v, heed::view<float> out)
{
#ifdef VALID
    const std::vector<float> x = queries();
    const auto q = heed::bhsd(x, {1, 2, 4, 8});
#else
    const auto q = heed::bhsd(queries(), {1, 2, 4, 8});
#endif
    return heed::attend(heed::softpick{}, q, k, v, out);
}
