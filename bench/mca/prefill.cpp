// SPDX-License-Identifier: MIT
// What bench/mca/run reads the inner loops of: attention over floats and over doubles.
#include <heed/heed.hpp>

using heed::view;

heed::status of_float(view<const float> q, view<const float> k, view<const float> v, view<float> out)
{
    return heed::attend(q, k, v, out);
}
heed::status softpick_of_float(view<const float> q, view<const float> k, view<const float> v, view<float> out)
{
    return heed::attend(heed::attention{heed::softpick{}}, q, k, v, out);
}
heed::status of_double(view<const double> q, view<const double> k, view<const double> v, view<double> out)
{
    return heed::attend(q, k, v, out);
}
