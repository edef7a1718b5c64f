// SPDX-License-Identifier: MIT
// The C interface, compiled for the oldest CPU.
#include "attention.h"

#include "attention_kernels.hpp"  // written by heed_add_kernels()

int attend(const attention* of, char* error, size_t error_bytes)
{
    return attention_kernels().table->attend(of, error, error_bytes);
}

const char* attention_arch(void) { return attention_kernels().arch; }

const char* attention_isa(void) { return attention_kernels().table->isa; }
