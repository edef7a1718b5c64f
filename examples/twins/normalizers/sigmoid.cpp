// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> sigmoid_kernels()
{
    return kernels_made_by<T>([](const heads& h) { return heed::sigmoid{sigmoid_bias(h.context)}; });
}
template kernels<number> sigmoid_kernels();

}  // namespace twins
