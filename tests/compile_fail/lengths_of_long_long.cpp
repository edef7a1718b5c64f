// expect: heed: a table of whole numbers is made of std::int32_t or std::int64_t
#include <heed/heed.hpp>

#include <vector>

#ifdef VALID
using number = std::int64_t;
#else
using number = std::conditional_t<std::is_same_v<std::int64_t, long>, long long, long>;
#endif

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out, const std::vector<number>& lengths)
{
    return heed::attend(heed::attention{heed::softpick{}, heed::key_lengths{lengths}}, q, k, v, out);
}
