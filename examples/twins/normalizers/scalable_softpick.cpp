// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

template <class T>
kernels<T> scalable_softpick_kernels()
{
    return kernels_made_by<T>([](const heads& h) {
        return std::tuple{heed::log_length_scale{h.learned, h.count}, heed::softpick{}};
    });
}
template kernels<number> scalable_softpick_kernels();

}  // namespace twins
