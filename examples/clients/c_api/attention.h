/* SPDX-License-Identifier: MIT
 * Attention for programs in C, and in any language that calls C: heed behind three structs and five functions.
 *
 *     struct attention_call call = {.struct_bytes = sizeof(call), .normalizer = ATTENTION_SOFTPICK, .causal = 1};
 *     call.q = (struct attention_tensor){q, ATTENTION_F32, {1, 32, 1, 128}, {4096, 128, 4096}};
 *     ...
 *     char error[ATTENTION_ERROR_BYTES];
 *     if (attention_run(&call, error, sizeof(error)) != 0) puts(error);
 *
 * README.md, beside this file, has the rules of its binary interface. */
#ifndef ATTENTION_H
#define ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define ATTENTION_API __declspec(dllexport)
#else
#define ATTENTION_API __attribute__((visibility("default")))
#endif

/* Grows with every change of what follows that old programs do not notice; the first number with those that they do. */
#define ATTENTION_VERSION 1000

/* Every sentence fits. */
#define ATTENTION_ERROR_BYTES 256

typedef int32_t attention_normalizer;
#define ATTENTION_SOFTMAX 0
#define ATTENTION_SOFTPICK 1

typedef int32_t attention_element;
#define ATTENTION_F32 0
#define ATTENTION_BF16 1

/* A tensor [batch, heads, tokens, channels]; strides are those of the first three, in elements, and channels lie side by
 * side. Data may be null where a size is 0. */
struct attention_tensor {
    void* data;
    attention_element element;
    int64_t size[4];
    int64_t stride[3];
};

/* Whoever runs tasks: task(context, i, worker) for every i in [0, n), workers from 0 to `workers` - 1, no two tasks of one
 * worker at once, all of them over when run() returns. */
struct attention_executor {
    void* host;
    int32_t workers;
    void (*run)(void* host, int64_t n, void (*task)(void* context, int64_t i, int32_t worker), void* context);
};

/* What is computed. Zeros are defaults. */
struct attention_call {
    size_t struct_bytes; /* sizeof(struct attention_call), as the caller knows it */

    struct attention_tensor q;    /* [B, Hq, Sq, D] */
    struct attention_tensor k, v; /* [B, Hkv, Skv, D and Dv], both of one element; Hq is a multiple of Hkv */
    struct attention_tensor out;  /* [B, Hq, Sq, Dv], f32 as q is */

    attention_normalizer normalizer;
    float scale;    /* of q . k; 0: 1 / sqrt(D) */
    int32_t causal; /* not 0: rows attend no later keys; the last row stands at the last key */
    int64_t window; /* of causal rows: the last so many keys, with their own; 0: all */
    const int64_t* lengths; /* keys of each sequence, of the Skv that its tensor has; null: all */

    float* lse; /* [B, Hq, Sq]: ln of the sum of masses; null: not wanted */

    void* workspace; /* attention_workspace_bytes() of it; null: the call allocates */
    size_t workspace_bytes;

    struct attention_executor executor; /* run == null: the calling thread */
};

/* 0; or -1, with the reason in `error` (of error_bytes, always terminated), and nothing written to out. From any thread;
 * with a workspace nothing is allocated. */
ATTENTION_API int attention_run(const struct attention_call* call, char* error, size_t error_bytes);

/* The bytes of workspace that the call needs: sizes are looked at, memory is not. 0 and a sentence for a wrong one. */
ATTENTION_API size_t attention_workspace_bytes(const struct attention_call* call, char* error, size_t error_bytes);

/* ATTENTION_VERSION of the library, which may be newer than that of the header a program was compiled with. */
ATTENTION_API int32_t attention_version(void);

/* The machine that the library's kernels were compiled for, of those in it that this CPU is: "x86-64-v3". */
ATTENTION_API const char* attention_arch(void);

/* heed's name of it, which says every extension: "avx2_fma_f16c". */
ATTENTION_API const char* attention_isa(void);

#ifdef __cplusplus
}
#endif

#endif
