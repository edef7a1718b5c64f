// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> softpick_kernels()
{
    return kernels_of<T>(heed::softpick{});
}
template kernels<number> softpick_kernels();

}  // namespace twins
