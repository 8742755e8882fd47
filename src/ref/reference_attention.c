/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/reference_attention.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

/* ---- attention among n vectors of `dim` numbers, in arrays of their own ----------------------------------
 */

struct attention {
    int n, dim;
    double scale;
    double *q, *k, *v, *y, *p; /* [n,dim], p [n,n] */
    double *dq, *dk, *dv, *dy, *dp;
    double *memory;
};

static int attention_open(struct attention *a, int n, int dim)
{
    size_t vectors = (size_t)n * (size_t)dim, pairs = (size_t)n * (size_t)n;
    double **const arrays[] = {&a->q, &a->k, &a->v, &a->y, &a->dq, &a->dk, &a->dv, &a->dy};
    a->n = n, a->dim = dim, a->scale = 1;
    double *at = a->memory = mr_alloc(8 * vectors + 2 * pairs, sizeof(double));
    if (!at)
        return -1;
    for (int i = 0; i < 8; i++, at += vectors)
        *arrays[i] = at;
    a->p = at;
    a->dp = at + pairs;
    return 0;
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void attention_forward(struct attention *a)
{
    for (int i = 0; i < a->n; i++) {
        double *p = a->p + i * a->n, sum = 0;
        for (int j = 0; j < a->n; j++)
            p[j] = a->scale * dot(a->q + i * a->dim, a->k + j * a->dim, a->dim);
        double top = p[0];
        for (int j = 1; j < a->n; j++)
            top = fmax(top, p[j]);
        for (int j = 0; j < a->n; j++)
            sum += p[j] = exp(p[j] - top);
        for (int c = 0; c < a->dim; c++)
            a->y[i * a->dim + c] = 0;
        for (int j = 0; j < a->n; j++) {
            p[j] /= sum;
            for (int c = 0; c < a->dim; c++)
                a->y[i * a->dim + c] += p[j] * a->v[j * a->dim + c];
        }
    }
}

/* After attention_forward: dq, dk, dv from dy. */
static void attention_backward(struct attention *a)
{
    size_t bytes = (size_t)a->n * (size_t)a->dim * sizeof(double);
    memset(a->dq, 0, bytes);
    memset(a->dk, 0, bytes);
    memset(a->dv, 0, bytes);
    for (int i = 0; i < a->n; i++) {
        const double *p = a->p + i * a->n;
        double *dp = a->dp + i * a->n;
        for (int j = 0; j < a->n; j++)
            dp[j] = dot(a->dy + i * a->dim, a->v + j * a->dim, a->dim);
        double mean = dot(p, dp, a->n);
        for (int j = 0; j < a->n; j++) {
            double ds = a->scale * p[j] * (dp[j] - mean);
            for (int c = 0; c < a->dim; c++) {
                a->dq[i * a->dim + c] += ds * a->k[j * a->dim + c];
                a->dk[j * a->dim + c] += ds * a->q[i * a->dim + c];
                a->dv[j * a->dim + c] += p[j] * a->dy[i * a->dim + c];
            }
        }
    }
}

/* ---- sliding: a head's numbers, flat [P,N], are [256, P*N/256] as they lie --------------------------------
 */

static int padded(int time)
{
    return (time + 255) / 256 * 256;
}

/* Copies head h of part `part` of batch item b of rows [B,T,parts,H,N] to a, or back. */
static void head_copy(double *rows, double *a, int time, int heads, int width, int parts, int part, int b, int h,
                      int back)
{
    for (int t = 0; t < time; t++) {
        for (int n = 0; n < width; n++) {
            double *x = rows + (((b * time + t) * parts + part) * heads + h) * width + n;
            if (back)
                *x = a[t * width + n];
            else
                a[t * width + n] = *x;
        }
    }
}

static void head_load(const double *rows, double *a, int time, int heads, int width, int parts, int part, int b, int h)
{
    memset(a, 0, (size_t)padded(time) * (size_t)width * sizeof(double));
    head_copy((double *)rows, a, time, heads, width, parts, part, b, h, 0);
}

/* y if dy is NULL, else dqkv */
static void sliding(const double *qkv, double *y, const double *dy, double *dqkv, int batch, int time, int heads,
                    int dim)
{
    struct attention a;
    int width = dim / heads;
    if (attention_open(&a, 256, padded(time) / 256 * width) < 0)
        return;
    a.scale = 1 / sqrt(width);
    for (int b = 0; b < batch; b++) {
        for (int h = 0; h < heads; h++) {
            head_load(qkv, a.q, time, heads, width, 3, 0, b, h);
            head_load(qkv, a.k, time, heads, width, 3, 1, b, h);
            head_load(qkv, a.v, time, heads, width, 3, 2, b, h);
            attention_forward(&a);
            if (!dy) {
                head_copy(y, a.y, time, heads, width, 1, 0, b, h, 1);
                continue;
            }
            head_load(dy, a.dy, time, heads, width, 1, 0, b, h);
            attention_backward(&a);
            head_copy(dqkv, a.dq, time, heads, width, 3, 0, b, h, 1);
            head_copy(dqkv, a.dk, time, heads, width, 3, 1, b, h, 1);
            head_copy(dqkv, a.dv, time, heads, width, 3, 2, b, h, 1);
        }
    }
    free(a.memory);
}

void mr_ref_reference_sliding_forward(const double *qkv, double *y, int batch, int time, int heads, int dim)
{
    sliding(qkv, y, NULL, NULL, batch, time, heads, dim);
}

void mr_ref_reference_sliding_backward(const double *qkv, const double *dy, double *dqkv, int batch, int time,
                                       int heads, int dim)
{
    sliding(qkv, NULL, dy, dqkv, batch, time, heads, dim);
}

/* ---- grouped ---------------------------------------------------------------------------------------------
 */

/* Index in qkvw [B,T,4C] of number `flat` of the T x C/4 block a*B + b of piece g. */
static int piece(int g, int block, int flat, int batch, int time, int dim)
{
    int quarter = dim / 4, a = block / batch, b = block % batch, t = flat / quarter, c = flat % quarter;
    return (b * time + t) * 4 * dim + a * dim + g * quarter + c;
}

/* y if dy is NULL, else dqkvw */
static void grouped(const double *qkvw, double *y, const double *dy, double *dqkvw, int batch, int time, int heads,
                    int dim)
{
    struct attention a;
    int width = dim / 4 / heads, n = heads * width;
    if (attention_open(&a, heads, width) < 0)
        return;
    a.scale = 1 / sqrt(width);
    double *const in[] = {a.q, a.k, a.v}, *const out[] = {a.dq, a.dk, a.dv};
    for (int block = 0; block < 4 * batch; block++) {
        for (int t = 0; t < time; t++) {
            for (int g = 0; g < 3; g++)
                for (int i = 0; i < n; i++) {
                    int flat = (i / width * time + t) * width + i % width;
                    in[g][i] = qkvw[piece(g, block, flat, batch, time, dim)];
                }
            attention_forward(&a);
            for (int i = 0; i < n; i++) {
                int flat = (i / width * time + t) * width + i % width, w = piece(3, block, flat, batch, time, dim);
                int to = block * time * n + flat;
                if (!dy)
                    y[to] = a.y[i] * qkvw[w];
                else {
                    a.dy[i] = dy[to] * qkvw[w];
                    dqkvw[w] = dy[to] * a.y[i];
                }
            }
            if (!dy)
                continue;
            attention_backward(&a);
            for (int g = 0; g < 3; g++)
                for (int i = 0; i < n; i++) {
                    int flat = (i / width * time + t) * width + i % width;
                    dqkvw[piece(g, block, flat, batch, time, dim)] = out[g][i];
                }
        }
    }
    free(a.memory);
}

void mr_ref_reference_grouped_forward(const double *qkvw, double *y, int batch, int time, int heads, int dim)
{
    grouped(qkvw, y, NULL, NULL, batch, time, heads, dim);
}

void mr_ref_reference_grouped_backward(const double *qkvw, const double *dy, double *dqkvw, int batch, int time,
                                       int heads, int dim)
{
    grouped(qkvw, NULL, dy, dqkvw, batch, time, heads, dim);
}
