// expect: heed: a view owns nothing, so what it sees outlives it and has a name
#include <heed/heed.hpp>

#include <vector>

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
#ifdef VALID
    const std::vector<int> lengths{7, 9};
    const heed::key_lengths mask{lengths};
#else
    const heed::key_lengths mask{std::vector<int>{7, 9}};
#endif
    return heed::attend(heed::attention{heed::softpick{}, mask}, q, k, v, out);
}
