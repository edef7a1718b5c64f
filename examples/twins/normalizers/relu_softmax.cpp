// SPDX-License-Identifier: MIT
#include "../../guide/recipes.hpp"
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> relu_softmax_kernels()
{
    return kernels_of<T>(recipe::relu_softmax{});
}
template kernels<number> relu_softmax_kernels();

}  // namespace twins
