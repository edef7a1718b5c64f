// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> entmax15_kernels()
{
    return kernels_of<T>(heed::entmax15{});
}
template kernels<number> entmax15_kernels();

}  // namespace twins
