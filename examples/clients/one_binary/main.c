/* SPDX-License-Identifier: MIT
 * A C program that attends with what its CPU has, and says with what:
 *
 *     one_binary
 *     HEED_KERNELS=x86-64-v3 one_binary
 */
#include "attention.h"

#include <stdio.h>

enum { heads = 4, kv_heads = 2, tokens = 150, dim = 64 };

static float q[heads * tokens * dim], k[kv_heads * tokens * dim], v[kv_heads * tokens * dim], out[heads * tokens * dim];

/* Numbers in -2 to 2 that look random. */
static void fill(float* x, size_t n, uint32_t seed)
{
    size_t i;
    for (i = 0; i < n; ++i) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(seed >> 8) / (1 << 22) - 2;
    }
}

/* FNV-1a over the bits of some numbers, and their sum. */
static uint64_t hash(const float* x, size_t n, double* sum)
{
    uint64_t h = 14695981039346656037u;
    size_t i;
    *sum = 0;
    for (i = 0; i < n; ++i) {
        union {
            float number;
            uint32_t bits;
        } one;
        one.number = x[i];
        h = (h ^ one.bits) * 1099511628211u;
        *sum += x[i];
    }
    return h;
}

int main(void)
{
    struct attention a = {q, k, v, out, heads, kv_heads, tokens, tokens, dim};
    char error[256];
    double sum;
    uint64_t bits;
    fill(q, sizeof q / sizeof *q, 1);
    fill(k, sizeof k / sizeof *k, 2);
    fill(v, sizeof v / sizeof *v, 3);
    if (attend(&a, error, sizeof error) != 0) {
        fprintf(stderr, "one_binary: %s\n", error);
        return 1;
    }
    bits = hash(out, sizeof out / sizeof *out, &sum);
    printf("compiled for  %s (%s)\n", attention_arch(), attention_isa());
    printf("sum           %.6f\n", sum);
    printf("bits          %08lx%08lx\n", (unsigned long)(bits >> 32), (unsigned long)(bits & 0xffffffffu));
    return 0;
}
