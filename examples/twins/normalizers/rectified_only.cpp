// SPDX-License-Identifier: MIT
#include "../../guide/recipes.hpp"
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> rectified_only_kernels()
{
    return kernels_of<T>(recipe::rectified_only{});
}
template kernels<number> rectified_only_kernels();

}  // namespace twins
