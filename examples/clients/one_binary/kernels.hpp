// SPDX-License-Identifier: MIT
// What is compiled once for each CPU: functions of plain types, in a struct.
#pragma once

#include "attention.h"

struct kernels {
    const char* isa;  // heed's name of what they were compiled for
    int (*attend)(const struct attention* of, char* error, size_t error_bytes);
};
