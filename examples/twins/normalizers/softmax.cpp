// SPDX-License-Identifier: MIT
#include "../extra.hpp"

#include <limits>

namespace twins {

/// One normalizer, compiled once: the logit of a sink is -inf, 0 or learned.
template <class T>
kernels<T> softmax_kernels(sink_logit kind)
{
    return kernels_made_by<T>([kind](const heads& h) {
        static const std::vector<float> none(1024, -std::numeric_limits<float>::infinity()), zero(1024, 0.0f);
        const float* const logits = kind == sink_logit::learned ? h.learned
                                    : kind == sink_logit::zero  ? zero.data()
                                                                : none.data();
        return heed::softmax_sink{logits, h.count};
    });
}
template kernels<number> softmax_kernels(sink_logit);

}  // namespace twins
