// SPDX-License-Identifier: MIT
// Pages of memory that may not be touched until they are opened. WebAssembly has none: there all of them may be.
#pragma once

#include <cstddef>

#if defined(_WIN32)
#ifndef NOMINMAX
#define NOMINMAX
#endif
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#undef near
#undef far
#elif defined(__wasm__)
#include <cstdlib>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace test {

#if defined(_WIN32)

inline std::size_t page_size()
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}
/// Null where there is no room.
inline void* reserve_pages(std::size_t bytes) { return VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_NOACCESS); }
inline bool open_pages(void* p, std::size_t bytes)
{
    return VirtualAlloc(p, bytes, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}
inline void release_pages(void* p, std::size_t) { VirtualFree(p, 0, MEM_RELEASE); }

#elif defined(__wasm__)

inline std::size_t page_size() { return 4096; }
inline void* reserve_pages(std::size_t bytes) { return std::aligned_alloc(page_size(), bytes); }
inline bool open_pages(void*, std::size_t) { return true; }
inline void release_pages(void* p, std::size_t) { std::free(p); }

#else

inline std::size_t page_size() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }
/// Null where there is no room.
inline void* reserve_pages(std::size_t bytes)
{
#if defined(MAP_NORESERVE)
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#else
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#endif
    void* const p = mmap(nullptr, bytes, PROT_NONE, flags, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
}
inline bool open_pages(void* p, std::size_t bytes) { return mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0; }
inline void release_pages(void* p, std::size_t bytes) { munmap(p, bytes); }

#endif

}  // namespace test
