// SPDX-License-Identifier: MIT
// Eigen matrices and maps as views, without a copy. A head is a row-major matrix [tokens, dim], or a column-major one
// [dim, tokens]: either way the channels of a token are contiguous.
#pragma once

#include "../base/view.hpp"

#include <Eigen/Core>

HEED_BEGIN
namespace detail {

template <class T, class M>
view<T> eigen_view(T* data, const M& m, std::int64_t heads)
{
    static_assert(bool(M::Flags & Eigen::DirectAccessBit),
                  "heed: an Eigen expression has no memory; evaluate it first");
    const std::int64_t tokens = M::IsRowMajor ? m.rows() : m.cols(), width = M::IsRowMajor ? m.cols() : m.rows();
    const std::int64_t dim = heads > 0 ? width / heads : 0;
    // A width that is not a multiple of the heads gives dim 0, which every verb refuses with the sizes in its message.
    return {data, {1, heads, tokens, heads > 0 && width % heads == 0 ? dim : 0}, {0, dim, m.outerStride()}};
}

}  // namespace detail

/// A view of one sequence: a matrix of `heads` heads side by side, row-major [tokens, heads * dim] or column-major
/// [heads * dim, tokens]. The matrix, map or block must have contiguous channels (inner stride 1) and outlive the view.
template <class M>
auto eigen_view(Eigen::PlainObjectBase<M>& m, std::int64_t heads = 1)
{
    return detail::eigen_view(m.data(), m.derived(), heads);
}
template <class M>
auto eigen_view(const Eigen::PlainObjectBase<M>& m, std::int64_t heads = 1)
{
    return detail::eigen_view(m.data(), m.derived(), heads);
}
template <class M, int Options, class Stride>
auto eigen_view(const Eigen::Map<M, Options, Stride>& m, std::int64_t heads = 1)
{
    static_assert(Eigen::Map<M, Options, Stride>::InnerStrideAtCompileTime == 1,
                  "heed: channels are contiguous: inner stride 1");
    using map = Eigen::Map<M, Options, Stride>;
    if constexpr (std::is_const_v<M>) return detail::eigen_view(m.data(), m, heads);
    else return detail::eigen_view(const_cast<map&>(m).data(), m, heads);
}
template <class M, int Options, class Stride>
auto eigen_view(const Eigen::Ref<M, Options, Stride>& m, std::int64_t heads = 1)
{
    using ref = Eigen::Ref<M, Options, Stride>;
    static_assert(ref::InnerStrideAtCompileTime == 1, "heed: channels are contiguous: inner stride 1");
    if constexpr (std::is_const_v<M>) return detail::eigen_view(m.data(), m, heads);
    else return detail::eigen_view(const_cast<ref&>(m).data(), m, heads);
}

template <class M, int Rows, int Columns, bool Inner>
auto eigen_view(const Eigen::Block<M, Rows, Columns, Inner>& m, std::int64_t heads = 1)
{
    using block = Eigen::Block<M, Rows, Columns, Inner>;
    static_assert(block::InnerStrideAtCompileTime == 1, "heed: channels are contiguous: inner stride 1");
    if constexpr (std::is_const_v<M>) return detail::eigen_view(m.data(), m, heads);
    else return detail::eigen_view(const_cast<block&>(m).data(), m, heads);
}

HEED_END
