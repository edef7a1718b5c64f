// One instantiation of attend, of the kind that an engine has.
#include <heed/heed.hpp>

heed::status one(const heed::view<const float>& q, const heed::view<const float>& k, const heed::view<const float>& v,
                 const heed::view<float>& out)
{
    return heed::attend(heed::attention{heed::softpick{}, heed::causal{}}, q, k, v, out);
}
