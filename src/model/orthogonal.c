/* SPDX-License-Identifier: GPL-3.0-or-later
 * Gram and Schmidt over normal vectors, block by block: a block's vectors are made orthonormal, then taken out of all
 * that follow, which all cores share. */
#include "model/orthogonal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/threads.h"

enum { BLOCK = 16 };

struct vectors {
    const struct mr_philox *draws;
    float *all; /* [count,length] */
    size_t count, length;
    size_t first, end; /* the block that is taken out */
};

static double dot(const float *a, const float *b, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += (double)a[i + k] * b[i + k];
    for (; i < n; i++)
        sum[0] += (double)a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* b less its part along a, of length 1 */
static void take_out(float *b, const float *a, size_t n)
{
    float share = (float)dot(a, b, n);
    for (size_t i = 0; i < n; i++)
        b[i] -= share * a[i];
}

static int draw(void *context, size_t i)
{
    struct vectors *v = context;
    for (size_t e = 0; e < v->length; e++)
        v->all[i * v->length + e] = (float)mr_philox_normal(v->draws, i * v->length + e);
    return 0;
}

static int take_block_out(void *context, size_t i)
{
    struct vectors *v = context;
    for (size_t k = v->first; k < v->end; k++)
        take_out(v->all + (v->end + i) * v->length, v->all + k * v->length, v->length);
    return 0;
}

static void make_block(struct vectors *v)
{
    for (size_t i = v->first; i < v->end; i++) {
        float *a = v->all + i * v->length;
        float scale = (float)(1 / sqrt(fmax(dot(a, a, v->length), 1e-30)));
        for (size_t e = 0; e < v->length; e++)
            a[e] *= scale;
        for (size_t k = i + 1; k < v->end; k++)
            take_out(v->all + k * v->length, a, v->length);
    }
}

int mr_orthogonal(const struct mr_philox *draws, size_t rows, size_t cols, double gain, float *out)
{
    bool by_rows = rows <= cols;
    struct vectors v = {.draws = draws, .count = by_rows ? rows : cols, .length = by_rows ? cols : rows};
    float *room = by_rows ? NULL : mr_alloc(v.count * v.length, sizeof *room);
    if (!by_rows && !room)
        return MR_ENOMEM;
    v.all = by_rows ? out : room;
    int err = mr_parallel_for(v.count, draw, &v);
    for (v.first = 0; !err && v.first < v.count; v.first = v.end) {
        v.end = v.first + BLOCK < v.count ? v.first + BLOCK : v.count;
        make_block(&v);
        err = mr_parallel_for(v.count - v.end, take_block_out, &v);
    }
    for (size_t i = 0; !err && i < rows * cols; i++)
        out[i] = (float)(gain * (by_rows ? out[i] : room[i % cols * rows + i / cols]));
    free(room);
    return err;
}
