// SPDX-License-Identifier: MIT
#include "../extra.hpp"

namespace twins {

/// The offset of elastic softmax stays at -1, where its paper learns from: backward() has no gradient in it.
template <class T>
kernels<T> elastic_kernels()
{
    return kernels_made_by<T>([](const heads& h) {
        static const std::vector<float> offsets(1024,
                                                -1.0f);  // of as many heads as --heads takes; a file may have more
        if (h.count > static_cast<int64>(offsets.size()))
            throw input_error("elastic: " + std::to_string(h.count) + " heads, at most " +
                              std::to_string(offsets.size()));
        return heed::elastic_softmax{offsets.data(), h.count};
    });
}
template kernels<number> elastic_kernels();

}  // namespace twins
