// expect: heed: backward learns the parameter of one score map of a kind
#include <heed/heed.hpp>

heed::status gradients(const heed::view<const float>& x, const heed::row_statistics<float>& stats,
                       const heed::gradients<float>& to)
{
    const heed::bias added(x);
#ifdef VALID
    const heed::attention def{added};
#else
    const heed::attention def{added, added};
#endif
    return heed::backward(def, x, x, x, x, stats, x, to);
}
