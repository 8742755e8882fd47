/* SPDX-License-Identifier: GPL-3.0-or-later
 * The same limits in plain C, on all cores of the host, with the widest vectors that it has. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "base/threads.h"
#include "bench/limits.h"

enum { CHAINS = 12, ROUNDS = 1 << 20, MOST_CORES = 1024 };

#define EACH(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define BEGIN(i) a##i = zero + (float)i,
#define STEP(i) a##i = a##i * 0.999f + 0.001f;
#define ADD(i) +a##i

/* The loops for vectors of `bytes`; what they leave is used, so that no compiler drops them. */
#define LOOPS(name, bytes, target)                                                             \
    typedef float name##_vector __attribute__((vector_size(bytes)));                           \
    target static float name##_multiply(int rounds)                                            \
    {                                                                                          \
        name##_vector zero = {0}, EACH(BEGIN) sum;                                             \
        for (int r = 0; r < rounds; r++) {                                                     \
            EACH(STEP)                                                                         \
        }                                                                                      \
        sum = zero EACH(ADD);                                                                  \
        return sum[0];                                                                         \
    }                                                                                          \
    target static float name##_read(const float *x, size_t n)                                  \
    {                                                                                          \
        name##_vector a = {0}, b = {0}, v, w;                                                  \
        for (size_t i = 0; i + 2 * sizeof v / sizeof *x <= n; i += 2 * sizeof v / sizeof *x) { \
            memcpy(&v, x + i, sizeof v);                                                       \
            memcpy(&w, x + i + sizeof v / sizeof *x, sizeof w);                                \
            a += v;                                                                            \
            b += w;                                                                            \
        }                                                                                      \
        return a[0] + b[0];                                                                    \
    }

LOOPS(narrow, 16, )
#if defined(__x86_64__)
LOOPS(avx2, 32, __attribute__((target("avx2,fma"))))
LOOPS(avx512, 64, __attribute__((target("avx512f"))))
#endif

struct loops {
    int width; /* floats of a vector */
    float (*multiply)(int rounds);
    float (*read)(const float *x, size_t n);
};

static struct loops widest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return (struct loops){16, avx512_multiply, avx512_read};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct loops){8, avx2_multiply, avx2_read};
#endif
    return (struct loops){4, narrow_multiply, narrow_read};
}

struct task {
    struct loops loops;
    const float *x;
    size_t share;   /* numbers that a core reads */
    float *results; /* of each core */
};

static int multiply(void *context, size_t core)
{
    const struct task *t = context;
    t->results[core] = t->loops.multiply(ROUNDS);
    return 0;
}

static int scan(void *context, size_t core)
{
    const struct task *t = context;
    t->results[core] = t->loops.read(t->x + core * t->share, t->share);
    return 0;
}

/* The best rate of several runs on all cores. */
static int fastest(struct task *t, int (*body)(void *context, size_t core), double seconds, double work, double *rate)
{
    size_t cores = (size_t)mr_cores() < MOST_CORES ? (size_t)mr_cores() : MOST_CORES;
    float results[MOST_CORES];
    double began = mr_now();
    t->results = results;
    *rate = 0;
    do {
        double from = mr_now();
        MR_TRY(mr_parallel_for(cores, body, t));
        double now = work * (double)cores / (mr_now() - from);
        *rate = now > *rate ? now : *rate;
    } while (mr_now() - began < seconds);
    return 0;
}

int mr_host_gflops(double seconds, double *gflops)
{
    struct task t = {.loops = widest()};
    return fastest(&t, multiply, seconds, 2e-9 * CHAINS * ROUNDS * t.loops.width, gflops);
}

int mr_host_bandwidth(double seconds, double *gb_per_s)
{
    struct task t = {.loops = widest()};
    size_t cores = (size_t)mr_cores() < MOST_CORES ? (size_t)mr_cores() : MOST_CORES, numbers = (size_t)1 << 26;
    t.share = numbers / cores / 64 * 64;
    float *x = mr_alloc(numbers, sizeof *x);
    if (!x)
        return MR_ENOMEM;
    memset(x, 1, numbers * sizeof *x); /* pages of its own: those of zeros may be one and the same */
    t.x = x;
    int err = fastest(&t, scan, seconds, 1e-9 * sizeof *x * (double)t.share, gb_per_s);
    free(x);
    return err;
}
