// SPDX-License-Identifier: MIT
// Buffers between pages that may not be touched, with poison around what they hold.
#pragma once

#include "os_pages.hpp"
#include "tensors.hpp"

#include <catch2/catch.hpp>

#include <cstddef>

namespace test {

/// Memory between two pages that may not be touched.
class guarded {
public:
    explicit guarded(std::size_t bytes)
    {
        const std::size_t page = page_size();
        bytes_ = (bytes + page - 1) / page * page;
        mapped_ = bytes_ + 2 * page;
        all_ = static_cast<std::byte*>(reserve_pages(mapped_));
        REQUIRE(all_);
        begin_ = all_ + page;
        REQUIRE(open_pages(begin_, bytes_));
    }
    ~guarded() { release_pages(all_, mapped_); }
    guarded(const guarded&) = delete;
    guarded& operator=(const guarded&) = delete;

    /// n elements: ending at the page behind (offset < 0), or `offset` elements after the page before. Around them lies
    /// 0xff, which is NaN in every floating-point type, for `reach` bytes at least.
    template <class T>
    T* place(std::int64_t n, int offset)
    {
        const std::size_t size = static_cast<std::size_t>(n) * sizeof(T);
        REQUIRE(size <= bytes_);
        const std::size_t from = offset < 0 ? bytes_ - size : static_cast<std::size_t>(offset) * sizeof(T);
        REQUIRE(from + size <= bytes_);
        poisoned_from_ = from > reach ? from - reach : 0;
        poisoned_to_ = std::min(bytes_, from + size + reach);
        std::memset(begin_ + poisoned_from_, 0xff, poisoned_to_ - poisoned_from_);
        return reinterpret_cast<T*>(begin_ + from);
    }
    template <class T>
    T* place(const std::vector<T>& data, int offset)
    {
        T* p = place<T>(static_cast<std::int64_t>(data.size()), offset);
        if (!data.empty()) std::memcpy(p, data.data(), data.size() * sizeof(T));
        return p;
    }

    /// Whether everything but the n elements at `keep` still is what place() left.
    template <class T>
    bool untouched_around(const T* keep, std::int64_t n) const
    {
        const auto first = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(keep) - begin_);
        const std::size_t end = first + static_cast<std::size_t>(n) * sizeof(T);
        for (std::size_t i = poisoned_from_; i < poisoned_to_; ++i)
            if ((i < first || i >= end) && begin_[i] != std::byte{0xff}) return false;
        return true;
    }

private:
    static constexpr std::size_t reach = 512;
    std::byte *all_, *begin_;
    std::size_t mapped_, bytes_, poisoned_from_ = 0, poisoned_to_ = 0;
};

}  // namespace test
