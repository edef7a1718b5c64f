// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> stick_breaking_kernels()
{
    return kernels_of<T>(heed::stick_breaking{});
}
template kernels<number> stick_breaking_kernels();

}  // namespace twins
