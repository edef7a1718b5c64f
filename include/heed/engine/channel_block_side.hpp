// SPDX-License-Identifier: MIT
// How append() and fetch() write and read keys whose channels have a scale and a zero point in each block of tokens.
// Rows are passed twice: the first pass leaves the lowest and the highest number of each channel where zero point and
// scale will stand, so that nothing is allocated however large a block is.
#pragma once

#include "../base/element/rounding.hpp"
#include "../kv/scaled.hpp"

HEED_BEGIN
namespace detail {

/// at(head, token) is a row of codes, at.steps(head, token) what its block has.
template <class T, class E, class Row>
class channel_block_side {
public:
    channel_block_side(Row at, std::int64_t tokens) : at_(at), tokens_(tokens) {}

    bool takes_all() const { return true; }
    /// Blocks are written from their first token, and to their last or the last one held: a scale that changes is that
    /// of all.
    status check(std::int64_t first, std::int64_t end, std::int64_t held) const
    {
        using ll = long long;
        if (first % tokens_ == 0 && (end % tokens_ == 0 || end == held)) return {};
        return status::error(errc::invalid_argument,
                             "append: tokens [%lld, %lld) of %lld held: a block of %lld tokens is written from its "
                             "first token to its last, or to the last one held",
                             ll{first}, ll{end}, ll{held}, ll{tokens_});
    }
    /// The first pass over the tokens of a block, in order.
    void see(std::int64_t head, std::int64_t token, const T* x, std::int64_t dim) const
    {
        const auto of = at_.steps(head, token);
        const bool is_first = token % tokens_ == 0;
        for (std::int64_t c = 0; c < dim; ++c) {
            const float now = static_cast<float>(x[c]);
            float &low = of.zero[c], &high = of.scale[c];
            if (is_first || now < low || now != now) low = now;
            if (is_first || now > high || now != now) high = now;
        }
    }
    /// The second one.
    void write(std::int64_t head, std::int64_t token, const T* x, std::int64_t dim) const
    {
        const auto of = at_.steps(head, token);
        E* const to = at_(head, token);
        for (std::int64_t c = 0; c < dim; ++c) {
            float &scale = of.scale[c], &zero = of.zero[c];
            if (token % tokens_ == 0) {
                const scale_around_zero chosen(zero, scale, E::most);
                scale = chosen.scale;
                zero = chosen.zero;
            }
            const int code = scale == scale ? step_around_zero(static_cast<float>(x[c]), static_cast<double>(scale),
                                                               static_cast<double>(zero), E::most)
                                            : 0;
            to[c / channels_of<E>].set(static_cast<int>(c % channels_of<E>), code);
        }
    }
    void read(std::int64_t head, std::int64_t token, std::int64_t dim, T* x) const
    {
        const auto of = at_.steps(head, token);
        const auto* from = at_(head, token);
        for (std::int64_t c = 0; c < dim; ++c) x[c] = static_cast<T>((channel_of(from, c) - of.zero[c]) * of.scale[c]);
    }

private:
    Row at_;
    std::int64_t tokens_;
};

}  // namespace detail
HEED_END
