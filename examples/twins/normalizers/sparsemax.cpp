// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> sparsemax_kernels()
{
    return kernels_of<T>(heed::sparsemax{});
}
template kernels<number> sparsemax_kernels();

}  // namespace twins
