// SPDX-License-Identifier: MIT
// The C interface, compiled for the oldest CPU.
#include "attention.h"

#include "attention_kernels.hpp"  // written by heed_add_kernels()

#include <cstddef>
#include <cstdio>
#include <cstring>

namespace {

// Up to the last member of version 1.0; new ones stand behind it. What programs are compiled with must not move.
constexpr std::size_t first_bytes = offsetof(attention_call, executor) + sizeof(attention_executor);
static_assert(sizeof(void*) != 8 || (first_bytes == 376 && sizeof(attention_tensor) == 72),
              "another layout is another version: ATTENTION_VERSION and SOVERSION");

/// A call of a program of any version as one of this library's: members that the program does not know are 0, and those
/// that the library does not know must be.
bool read(const attention_call* from, attention_call& to, char* error, std::size_t error_bytes)
{
    if (error_bytes > 0) error[0] = '\0';
    if (!from || from->struct_bytes < first_bytes) {
        std::snprintf(error, error_bytes, "attention: struct_bytes is %zu, must be sizeof(struct attention_call)",
                      from ? from->struct_bytes : std::size_t{0});
        return false;
    }
    to = {};
    const std::size_t known = from->struct_bytes < sizeof(to) ? from->struct_bytes : sizeof(to);
    std::memcpy(&to, from, known);
    const char* const bytes = reinterpret_cast<const char*>(from);
    for (std::size_t i = known; i < from->struct_bytes; ++i)
        if (bytes[i] != 0) {
            std::snprintf(error, error_bytes, "attention: the call needs a newer library than version %d",
                          ATTENTION_VERSION);
            return false;
        }
    return true;
}

const kernels& best() { return *attention_kernels().table; }

}  // namespace

int attention_run(const attention_call* call, char* error, size_t error_bytes)
{
    attention_call here;
    return read(call, here, error, error_bytes) ? best().run(here, error, error_bytes) : -1;
}

size_t attention_workspace_bytes(const attention_call* call, char* error, size_t error_bytes)
{
    attention_call here;
    return read(call, here, error, error_bytes) ? best().workspace_bytes(here, error, error_bytes) : 0;
}

int32_t attention_version(void) { return ATTENTION_VERSION; }

const char* attention_arch(void) { return attention_kernels().arch; }

const char* attention_isa(void) { return best().isa; }
