/* SPDX-License-Identifier: MIT
 * Attention behind a C interface, of which a program needs to know no more: one library, kernels for several CPUs. */
#ifndef ONE_BINARY_ATTENTION_H
#define ONE_BINARY_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Causal softpick attention: q and out [heads][queries][dim], k and v [kv_heads][keys][dim], contiguous. */
struct attention {
    const float *q, *k, *v;
    float* out;
    int64_t heads, kv_heads, queries, keys, dim;
};

/* 0; or -1, with the reason in `error`, and nothing written to out. */
int attend(const struct attention* of, char* error, size_t error_bytes);

/* The machine that attend() was compiled for, of those in the program that this CPU is: "x86-64-v3". */
const char* attention_arch(void);

/* heed's own name of it, which says every extension: "avx2_fma_f16c". */
const char* attention_isa(void);

#ifdef __cplusplus
}
#endif

#endif
