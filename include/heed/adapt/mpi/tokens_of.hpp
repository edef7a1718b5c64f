// SPDX-License-Identifier: MIT
// Some tokens of a kv source of any kind, as a source: what a rank attends to at a time.
#pragma once

#include "../../base/math.hpp"
#include "../../kv/contract.hpp"

HEED_BEGIN
namespace detail {

/// Rows of a head from some token on.
template <class Rows>
struct rows_behind {
    Rows of;
    std::int64_t first;

    HEED_INLINE auto operator()(std::int64_t token) const { return of(first + token); }
};
template <class Rows>
rows_behind(Rows, std::int64_t) -> rows_behind<Rows>;
template <class Blocks>
struct blocks_behind {
    Blocks blocks;
    std::int64_t first;

    HEED_INLINE auto of(std::int64_t token) const { return blocks.of(first + token); }
};
template <class Blocks>
blocks_behind(Blocks, std::int64_t) -> blocks_behind<Blocks>;

/// Tokens [first, first + count) of a source that has been checked.
template <class Kv>
struct tokens_of {
    using key_element = typename Kv::key_element;
    using value_element = typename Kv::value_element;
    static constexpr bool contiguous = Kv::contiguous;

    Kv all;
    std::int64_t first, count;

    std::int64_t batch() const { return all.batch(); }
    std::int64_t heads() const { return all.heads(); }
    std::int64_t key_dim() const { return all.key_dim(); }
    std::int64_t value_dim() const { return all.value_dim(); }
    token_span held(std::int64_t b) const { return cut(all.held(b)); }
    bool ragged() const { return all.ragged(); }
    std::int64_t tokens() const { return longest(*this); }
    std::int64_t heads_side_by_side() const { return heads_side_by_side_of(all); }
    std::int64_t heads_of_a_page() const { return heads_of_a_page_of(all); }

    auto keys(std::int64_t b, std::int64_t h) const { return rows_behind{all.keys(b, h), first}; }
    auto values(std::int64_t b, std::int64_t h) const { return rows_behind{all.values(b, h), first}; }
    template <class S = Kv, class = std::enable_if_t<has_gone_v<S>>>
    token_span gone(std::int64_t b) const
    {
        return cut(all.gone(b));
    }
    template <class S = Kv, class = std::enable_if_t<has_key_scales_v<S>>>
    auto key_scales(std::int64_t b, std::int64_t h) const
    {
        return rows_behind{all.key_scales(b, h), first};
    }
    template <class S = Kv, class = std::enable_if_t<has_value_scales_v<S>>>
    auto value_scales(std::int64_t b, std::int64_t h) const
    {
        return rows_behind{all.value_scales(b, h), first};
    }
    template <class S = Kv, class = std::enable_if_t<has_channel_scales_v<S>>>
    const float* key_channel_scales(std::int64_t h) const
    {
        return all.key_channel_scales(h);
    }
    template <class S = Kv, class = std::enable_if_t<has_key_blocks_v<S>>>
    auto key_blocks(std::int64_t b, std::int64_t h) const
    {
        return blocks_behind{all.key_blocks(b, h), first};
    }

    status check() const { return {}; }
    status check_rows() const { return {}; }
    template <class F>
    void views(F) const
    {}
    auto as_const() const
    {
        const auto source = detail::as_const(all);
        return tokens_of<std::remove_const_t<decltype(source)>>{source, first, count};
    }

private:
    token_span cut(const token_span& s) const
    {
        const auto within = [&](std::int64_t token) { return min_of(max_of(token - first, 0), count); };
        return {within(s.first), within(s.end)};
    }
};

}  // namespace detail
HEED_END
