// SPDX-License-Identifier: MIT
// A stand-in for twins' kernels, which no file and no command line reaches: what reading needs of a normalizer is its
// line of the table.
#include "examples/twins/normalizers.hpp"

namespace twins {
namespace {

class named_attention final : public attention<float> {
    bool has_threshold() const override { return false; }
    void forward(const attention_tensors<float>&, const float*) const override {}
    void backward(const attention_tensors<float>&, const float*, const heed::view<const float>&, heed::gradients<float>,
                  float*) const override
    {}
    void observe(const attention_tensors<float>&, const float*, const heed::observations<float>&) const override {}
    void map(const attention_tensors<float>&, const float*, int64, float*) const override {}
};

kernels<number> named()
{
    return {[](int64) { return std::make_unique<named_attention>(); }, true};
}

}  // namespace

template <>
kernels<number> softmax_kernels<number>(sink_logit)
{
    return named();
}
template <>
kernels<number> softpick_kernels<number>()
{
    return named();
}
template <>
kernels<number> scalable_softpick_kernels<number>()
{
    return named();
}
template <>
kernels<number> sigmoid_kernels<number>()
{
    return named();
}
template <>
kernels<number> relu_softmax_kernels<number>()
{
    return named();
}
template <>
kernels<number> rectified_only_kernels<number>()
{
    return named();
}
template <>
kernels<number> entmax15_kernels<number>()
{
    return named();
}
template <>
kernels<number> sparsemax_kernels<number>()
{
    return named();
}
template <>
kernels<number> elastic_kernels<number>()
{
    return named();
}
template <>
kernels<number> stick_breaking_kernels<number>()
{
    return named();
}
void add_extra(normalizer_table<number>&) {}

}  // namespace twins
