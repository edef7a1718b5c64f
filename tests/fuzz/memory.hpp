// SPDX-License-Identifier: MIT
// Memory between pages that may not be touched. Of the rest AddressSanitizer lets only the rows be touched that were
// opened, and what nobody may write is compared with what it was.
#pragma once

#include "input.hpp"

#include <sanitizer/asan_interface.h>

#include <cstring>
#include <memory>
#include <sys/mman.h>
#include <vector>

namespace fuzz {

/// Places blocks of bytes until clear(); each block has pages of its own.
class memory {
public:
    static constexpr std::size_t page = 4096, largest = std::size_t{1} << 20;

    /// A block of so many bytes, filled with 0xff, that ends where a page begins that may not be touched, or starts
    /// where one ends.
    std::byte* block(std::size_t bytes, bool at_end)
    {
        if (used_ == regions_.size()) regions_.push_back(std::make_unique<region>());
        region& r = *regions_[used_++];
        r.size = (bytes + page - 1) / page * page;
        r.limit(r.size);
        std::memset(r.begin, 0xff, r.size);
        ASAN_POISON_MEMORY_REGION(r.begin, r.size);
        return at_end ? r.begin + r.size - bytes : r.begin;
    }
    static void open(void* at, std::size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(at, bytes); }

    /// Keeps what all blocks hold now; unchanged_but() compares, after all of them were opened.
    void keep()
    {
        open_all();
        kept_.clear();
        for (std::size_t i = 0; i < used_; ++i)
            kept_.emplace_back(regions_[i]->begin, regions_[i]->begin + regions_[i]->size);
    }
    /// Whether everything is as it was, up to bytes for which writable(address) is true.
    template <class F>
    bool unchanged_but(F writable)
    {
        open_all();
        for (std::size_t i = 0; i < kept_.size(); ++i) {
            const region& r = *regions_[i];
            if (std::memcmp(r.begin, kept_[i].data(), r.size) == 0) continue;
            for (std::size_t j = 0; j < r.size; ++j)
                if (r.begin[j] != kept_[i][j] && !writable(r.begin + j)) return false;
        }
        return true;
    }
    /// Whether a byte is of the block that was placed last: a workspace.
    bool is_last(const std::byte* p) const
    {
        const region& r = *regions_[used_ - 1];
        return p >= r.begin && p < r.begin + r.size;
    }
    bool unchanged()
    {
        return unchanged_but([](const std::byte*) { return false; });
    }
    void clear()
    {
        open_all();
        used_ = 0;
        kept_.clear();
    }

private:
    struct region {
        std::byte *all, *begin;
        std::size_t size = 0, open = 0;
        region()
        {
            void* p = mmap(nullptr, largest + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            require(p != MAP_FAILED, "mmap");
            all = static_cast<std::byte*>(p);
            begin = all + page;
        }
        void limit(std::size_t bytes)
        {
            require(bytes <= largest, "a block is too large");
            if (bytes < open) mprotect(begin + bytes, open - bytes, PROT_NONE);
            else if (bytes > open) require(mprotect(begin, bytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
            open = bytes;
        }
    };
    void open_all()
    {
        for (std::size_t i = 0; i < used_; ++i) ASAN_UNPOISON_MEMORY_REGION(regions_[i]->begin, regions_[i]->size);
    }

    std::vector<std::unique_ptr<region>> regions_;
    std::size_t used_ = 0;
    std::vector<std::vector<std::byte>> kept_;
};

inline memory& all_memory()
{
    static memory m;
    return m;
}

/// Whole numbers in a block of their own.
template <class T>
T* table(input& in, const std::vector<T>& numbers)
{
    const std::size_t bytes = numbers.size() * sizeof(T);
    std::byte* p = all_memory().block(bytes, !in.one_in(4));
    memory::open(p, bytes);
    if (bytes) std::memcpy(p, numbers.data(), bytes);
    return reinterpret_cast<T*>(p);
}

}  // namespace fuzz
