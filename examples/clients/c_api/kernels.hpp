// SPDX-License-Identifier: MIT
// What is compiled once for each CPU: functions of plain types, in a struct.
#pragma once

#include "attention.h"

struct kernels {
    const char* isa;
    int (*run)(const attention_call& call, char* error, size_t error_bytes);
    size_t (*workspace_bytes)(const attention_call& call, char* error, size_t error_bytes);
};
