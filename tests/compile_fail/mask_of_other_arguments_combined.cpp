// expect: heed: a mask has a const member `bool attends(const heed::query_place& at, std::int64_t key) const`
#include <heed/heed.hpp>

struct every_other {
#ifdef VALID
    bool attends(const heed::query_place&, std::int64_t key) const { return key % 2 == 0; }
#else
    bool attends(std::int64_t, std::int64_t key) const { return key % 2 == 0; }
#endif
};

heed::status call(heed::view<const float> q, heed::view<const float> k, heed::view<const float> v,
                  heed::view<float> out)
{
    return heed::attend(heed::attention{heed::softpick{}, heed::causal{} & every_other{}}, q, k, v, out);
}
