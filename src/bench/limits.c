/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/limits.h"

#include "base/progress.h"
#include "ops/limits.h"

static const size_t most_read = (size_t)1 << 28; /* bytes: more than any cache holds */

static double at_least(double a, double b)
{
    return a > b ? a : b;
}

/* The largest of work / time over some calls, until `seconds` are over. */
static int fastest(mr_runtime *rt, int (*call)(mr_runtime *rt, void *context), void *context, double seconds,
                   double work, double *rate)
{
    double began = mr_now();
    *rate = 0;
    do {
        double from = mr_now();
        MR_TRY(call(rt, context));
        MR_TRY(mr_finish(rt));
        *rate = at_least(*rate, work / (mr_now() - from));
    } while (mr_now() - began < seconds);
    return 0;
}

struct work {
    mr_tensor x, y;
    int rounds;
};

static int multiply(mr_runtime *rt, void *context)
{
    const struct work *w = context;
    return mr_limits_fma(rt, &w->y, w->rounds);
}

static int scan(mr_runtime *rt, void *context)
{
    const struct work *w = context;
    return mr_limits_read(rt, &w->x, w->x.count, &w->y);
}

/* As many rounds as take some milliseconds, so that starting the kernel does not count. */
static int find_rounds(mr_runtime *rt, struct work *w)
{
    w->rounds = 256;
    MR_TRY(multiply(rt, w)); /* compiled */
    MR_TRY(mr_finish(rt));
    for (; w->rounds < 1 << 24; w->rounds *= 2) {
        double from = mr_now();
        MR_TRY(multiply(rt, w));
        MR_TRY(mr_finish(rt));
        if (mr_now() - from > 5e-3)
            return 0;
    }
    return 0;
}

static size_t numbers_to_read(const struct mr_device_info *info)
{
    size_t bytes = most_read;
    while (bytes > 1 << 16 && (bytes > info->max_alloc || bytes > info->memory / 4))
        bytes /= 2;
    return bytes / sizeof(float) / 16 * 16;
}

int mr_limits_measure(mr_runtime *rt, double seconds, struct mr_limits *l)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct work w = {0};
    int err;
    size_t items = mr_limits_items(rt);
    *l = (struct mr_limits){0};
    MR_GO(mr_tensor_alloc(rt, &w.x, MR_F32, numbers_to_read(info)));
    MR_GO(mr_tensor_alloc(rt, &w.y, MR_F32, items));
    MR_GO(mr_zero(rt, &w.x));
    MR_GO(find_rounds(rt, &w));
    MR_GO(fastest(rt, multiply, &w, seconds, 1e-9 * mr_limits_flops(rt) * (double)items * w.rounds, &l->opencl_gflops));
    MR_GO(scan(rt, &w)); /* compiled */
    MR_GO(mr_finish(rt));
    MR_GO(fastest(rt, scan, &w, seconds, 1e-9 * sizeof(float) * (double)w.x.count, &l->opencl_gb_per_s));
    if (info->is_cpu && !info->is_gpu) {
        MR_GO(mr_host_gflops(seconds, &l->host_gflops));
        MR_GO(mr_host_bandwidth(seconds, &l->host_gb_per_s));
    }
    l->gflops = at_least(l->opencl_gflops, l->host_gflops);
    l->gb_per_s = at_least(l->opencl_gb_per_s, l->host_gb_per_s);
fail:
    mr_tensor_free(rt, &w.y);
    mr_tensor_free(rt, &w.x);
    return err;
}

double mr_limits_share(const struct mr_limits *l, double gflops, double gb_per_s)
{
    return at_least(l->gflops > 0 ? gflops / l->gflops : 0, l->gb_per_s > 0 ? gb_per_s / l->gb_per_s : 0);
}
