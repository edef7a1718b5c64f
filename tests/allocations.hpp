// SPDX-License-Identifier: MIT
// Counts allocations of the program that includes this, in one of its files.
#pragma once

#include <heed/engine/simd/vec.hpp>  // the compiler's intrinsics declare posix_memalign, which must come before the definition

#include <atomic>
#include <cstdlib>
#include <new>

namespace test {

inline std::atomic<bool> counting{false};
inline std::atomic<int> allocations{0};

inline void count_allocation()
{
    if (counting.load(std::memory_order_relaxed)) allocations.fetch_add(1, std::memory_order_relaxed);
}

template <class F>
int allocations_of(F f)
{
    allocations = 0;
    counting = true;
    f();
    counting = false;
    return allocations;
}

}  // namespace test

// Sanitizers bring an allocator of their own; the plain builds count malloc, and with it all that is made of it.
#if defined(__SANITIZE_ADDRESS__)
#define HEED_COUNTS_MALLOC 0
#elif defined(__has_feature)
#define HEED_COUNTS_MALLOC !__has_feature(address_sanitizer)
#elif defined(__GLIBC__)
#define HEED_COUNTS_MALLOC 1
#endif

#if HEED_COUNTS_MALLOC
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t n)
{
    test::count_allocation();
    return __libc_malloc(n);
}
void* calloc(std::size_t n, std::size_t size)
{
    test::count_allocation();
    return __libc_calloc(n, size);
}
void* realloc(void* p, std::size_t n)
{
    test::count_allocation();
    return __libc_realloc(p, n);
}
void* aligned_alloc(std::size_t alignment, std::size_t n)
{
    test::count_allocation();
    return __libc_memalign(alignment, n);
}
int posix_memalign(void** p, std::size_t alignment, std::size_t n)
{
    test::count_allocation();
    *p = __libc_memalign(alignment, n);
    return *p ? 0 : 12;
}
}
#else
void* operator new(std::size_t n)
{
    test::count_allocation();
    if (void* p = std::malloc(n ? n : 1)) return p;
    throw std::bad_alloc();
}
void* operator new[](std::size_t n) { return operator new(n); }
// The sanitizer has its own of these too, and would take what they return for memory that our delete must not free.
void* operator new(std::size_t n, const std::nothrow_t&) noexcept
{
    test::count_allocation();
    return std::malloc(n ? n : 1);
}
void* operator new[](std::size_t n, const std::nothrow_t& t) noexcept { return operator new(n, t); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
#endif
