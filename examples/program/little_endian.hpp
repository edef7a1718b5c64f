// SPDX-License-Identifier: MIT
// Numbers in files: the lowest byte first, as on the machines that wrote most of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace llama2c {

/// Turns the bytes of each of n numbers round where this machine has the highest byte first.
template <class T>
void swap_if_big_endian(T* numbers, std::size_t n)
{
    if constexpr (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
        for (std::size_t i = 0; i < n; ++i) {
            unsigned char bytes[sizeof(T)];
            std::memcpy(bytes, numbers + i, sizeof(T));
            std::reverse(bytes, bytes + sizeof(T));
            std::memcpy(numbers + i, bytes, sizeof(T));
        }
}

/// n numbers from bytes of a file, and numbers behind the bytes of one; of 0 the pointers may be null.
template <class T>
void numbers_from_bytes(const char* bytes, std::size_t n, T* numbers)
{
    std::copy_n(bytes, n * sizeof(T), reinterpret_cast<char*>(numbers));
    swap_if_big_endian(numbers, n);
}
template <class Bytes, class T>
void append_numbers(Bytes& bytes, const T* numbers, std::size_t n)
{
    for (std::size_t i = 0; i < n; ++i) {
        T number = numbers[i];
        swap_if_big_endian(&number, 1);
        const char* const first = reinterpret_cast<const char*>(&number);
        bytes.insert(bytes.end(), first, first + sizeof(T));
    }
}

}  // namespace llama2c
