/* SPDX-License-Identifier: MIT
 * Decode and causal prefill from C: checked against loops in double, on one thread and on two, and with wrong sizes. */
#include "attention.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { heads = 4, kv_heads = 2, queries = 5, keys = 4000, dim = 40 };

static float q[heads][queries][dim], k[keys][kv_heads][dim], v[keys][kv_heads][dim], out[heads][queries][dim];

static float random_number(void)
{
    static uint32_t x = 1;
    x = x * 1664525u + 1013904223u;
    return (float)(x >> 8) / (float)(1 << 23) - 1;
}

static void fill(float* x, size_t n)
{
    while (n-- > 0) *x++ = random_number();
}

/* K and V as [token][head][channel], as engines have them. */
static struct attention_call the_call(attention_normalizer normalizer)
{
    struct attention_call call = {.struct_bytes = sizeof(call), .normalizer = normalizer, .causal = 1};
    const struct attention_tensor rows = {q, ATTENTION_F32, {1, heads, queries, dim}, {0, queries * dim, dim}};
    const struct attention_tensor tokens = {k, ATTENTION_F32, {1, kv_heads, keys, dim}, {0, dim, kv_heads * dim}};
    call.q = call.out = rows;
    call.k = call.v = tokens;
    call.v.data = v;
    call.out.data = out;
    return call;
}

/* The largest difference from plain loops. */
static double error_of(attention_normalizer normalizer)
{
    double worst = 0;
    for (int h = 0; h < heads; ++h)
        for (int i = 0; i < queries; ++i) {
            double o[dim] = {0}, mass = 0;
            for (int j = 0; j <= keys - queries + i; ++j) {
                const int g = h / (heads / kv_heads);
                double s = 0;
                for (int c = 0; c < dim; ++c) s += (double)q[h][i][c] * k[j][g][c];
                const double e = expm1(s / sqrt(dim));
                const double w = normalizer == ATTENTION_SOFTPICK ? fmax(e, 0) : e + 1;
                mass += fabs(normalizer == ATTENTION_SOFTPICK ? e : w);
                for (int c = 0; c < dim; ++c) o[c] += w * v[j][g][c];
            }
            for (int c = 0; c < dim; ++c) worst = fmax(worst, fabs(o[c] / mass - out[h][i][c]));
        }
    return worst;
}

/* An executor of two threads, the second of which takes the odd tasks. */
struct half {
    int64_t n;
    void (*task)(void*, int64_t, int32_t);
    void* context;
};

static void* odd_tasks(void* of)
{
    const struct half* const h = of;
    for (int64_t i = 1; i < h->n; i += 2) h->task(h->context, i, 1);
    return NULL;
}

static void on_two_threads(void* host, int64_t n, void (*task)(void*, int64_t, int32_t), void* context)
{
    struct half odd = {n, task, context};
    pthread_t other;
    const int started = pthread_create(&other, NULL, odd_tasks, &odd) == 0;
    ++*(int*)host;
    for (int64_t i = 0; i < n; i += 2) task(context, i, 0);
    if (started) pthread_join(other, NULL);
    else odd_tasks(&odd);
}

static int failures = 0;

static void check(int is_true, const char* what)
{
    if (is_true) return;
    printf("FAILED: %s\n", what);
    ++failures;
}

int main(void)
{
    char error[ATTENTION_ERROR_BYTES];
    fill(&q[0][0][0], sizeof(q) / sizeof(float));
    fill(&k[0][0][0], sizeof(k) / sizeof(float));
    fill(&v[0][0][0], sizeof(v) / sizeof(float));
    printf("version %d, kernels for %s (%s)\n", attention_version(), attention_arch(), attention_isa());

    for (attention_normalizer n = ATTENTION_SOFTMAX; n <= ATTENTION_SOFTPICK; ++n) {
        struct attention_call call = the_call(n);
        const int failed = attention_run(&call, error, sizeof(error));
        if (failed) printf("%s\n", error);
        printf("%s: error %.1e\n", n == ATTENTION_SOFTPICK ? "softpick" : "softmax", error_of(n));
        check(!failed && error_of(n) < 1e-6, "the outputs are those of plain loops");

        /* The same bits on two threads, in memory of the caller's own. */
        static float alone[heads][queries][dim];
        memcpy(alone, out, sizeof(out));
        memset(out, 0, sizeof(out));
        int runs = 0;
        call.executor = (struct attention_executor){&runs, 2, on_two_threads};
        call.workspace_bytes = attention_workspace_bytes(&call, error, sizeof(error));
        call.workspace = malloc(call.workspace_bytes);
        check(attention_run(&call, error, sizeof(error)) == 0 && runs > 0, "two threads ran");
        check(memcmp(alone, out, sizeof(out)) == 0, "two threads give the bits of one");
        free(call.workspace);
    }

    /* Mistakes are sentences, and leave the outputs alone. */
    struct attention_call wrong = the_call(ATTENTION_SOFTMAX);
    wrong.q.size[1] = 3;
    memset(out, 0, sizeof(out));
    check(attention_run(&wrong, error, sizeof(error)) != 0, "3 query heads of 2 kv heads are refused");
    printf("%s\n", error);
    check(strstr(error, "heads") != NULL && out[0][0][0] == 0, "and the sentence names them");
    wrong = the_call(7);
    check(attention_run(&wrong, error, sizeof(error)) != 0, "an unknown normalizer is refused");
    wrong = the_call(ATTENTION_SOFTMAX);
    wrong.struct_bytes = 8;
    check(attention_run(&wrong, error, sizeof(error)) != 0, "half a struct is refused");

    /* A program of a later version, whose struct has more members: 0, which an older library may overlook, and not. */
    struct {
        struct attention_call call;
        int64_t later;
    } newer = {the_call(ATTENTION_SOFTMAX), 0};
    newer.call.struct_bytes = sizeof(newer);
    check(attention_run(&newer.call, error, sizeof(error)) == 0, "a larger struct of zeros is taken");
    newer.later = 1;
    check(attention_run(&newer.call, error, sizeof(error)) != 0, "a member that the library does not know is refused");
    printf("%s\n", error);
    return failures != 0;
}
