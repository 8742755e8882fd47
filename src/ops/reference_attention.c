/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/reference_attention.h"

#include <math.h>

#include "base/alloc.h"
#include "ops/check.h"
#include "rt/gemm.h"

enum {
    CHUNK = 256, /* rows that each head becomes in `sliding` */
    HEADS = 256, /* at most in `grouped` */
};

/* ---- sliding --------------------------------------------------------------------------------------------
 */

/* Each head is `rows` rows of `columns` numbers that are not only padding; `padding` more rows are. */
struct sliding {
    int rows, columns, padding;
    int batches;        /* heads of all batch items */
    int length;         /* positions in those rows */
    size_t head, heads; /* floats of one head, of all */
};

static struct sliding shape_of(const struct mr_reference_attention *s)
{
    int positions = (int)mr_ceil_div(s->time, CHUNK), width = s->dim / s->heads; /* positions: in a row */
    struct sliding c = {.rows = (int)mr_ceil_div(s->time, positions), .columns = positions * width};
    c.padding = CHUNK - c.rows;
    c.batches = s->batch * s->heads;
    c.length = c.rows * positions;
    c.head = (size_t)c.length * (size_t)width;
    c.heads = c.head * (size_t)c.batches;
    return c;
}

size_t mr_reference_sliding_kept(const struct mr_reference_attention *s)
{
    struct sliding c = shape_of(s);
    return (size_t)c.batches * (size_t)c.rows * (size_t)c.rows;
}

/* q, k, v and y; in backward the gradient of the probabilities, q, k, v, dy, dq, dk, dv. */
size_t mr_reference_sliding_scratch(const struct mr_reference_attention *s, bool training)
{
    size_t heads = shape_of(s).heads;
    return training ? 7 * heads + mr_reference_sliding_kept(s) : 4 * heads;
}

static int need_shape(const char *op, const struct mr_reference_attention *s, int parts, int divisor, size_t *in,
                      size_t *out)
{
    size_t rows;
    MR_TRY(mr_need_shape(op, s->batch, s->time, &rows));
    if (s->heads < 1 || s->dim < 1 || s->dim % (divisor * s->heads))
        return mr_fail(MR_EINVAL, "%s: %d channels cannot be divided into %d x %d heads", op, s->dim, divisor,
                       s->heads);
    MR_TRY(mr_need_shape(op, (int)rows, s->dim, out));
    *in = *out * (size_t)parts;
    return mr_need_count(op, *in);
}

static int need_sliding(const char *op, const struct mr_reference_attention *s, const mr_tensor *kept,
                        const mr_tensor *scratch, bool training, size_t *in, size_t *out)
{
    MR_TRY(need_shape(op, s, 3, 1, in, out));
    size_t count = mr_reference_sliding_scratch(s, training);
    MR_TRY(mr_need_count(op, mr_reference_sliding_kept(s)));
    MR_TRY(mr_need_count(op, count));
    MR_TRY(mr_need_f32(op, "kept", kept, mr_reference_sliding_kept(s)));
    return mr_need_f32(op, "scratch", scratch, count);
}

/* Moves rows [B,T,parts,H,N] to heads [parts,B,H,length,N], which begin `at` floats into scratch; back if
 * out. */
static int move(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *rows, const mr_tensor *scratch,
                size_t at, int parts, bool out)
{
    int length = shape_of(s).length, width = s->dim / s->heads;
    float scale = parts == 1 ? 1.0f : 1.0f / sqrtf((float)width);
    size_t positions = (size_t)s->batch * (size_t)(out ? s->time : length);
    struct mr_range range = mr_row_shares(rt, positions, (size_t)s->dim * (size_t)parts);
    mr_profile_note(rt, 8.0 * (double)positions * s->dim * parts, 0);
    return mr_launch(rt, out ? "reference_sliding_scatter" : "reference_sliding_gather", range,
                     out ? mr_in(scratch) : mr_in(rows), out ? mr_out(rows) : mr_out(scratch), mr_int((int)at),
                     mr_int(s->batch), mr_int(s->time), mr_int(length), mr_int(s->heads), mr_int(width), mr_int(parts),
                     mr_float(scale));
}

/* One product per head. big: where a heads' array begins in scratch; small: in the array of probabilities. */
static int weigh(mr_runtime *rt, struct sliding c, const mr_tensor *scratch, const mr_tensor *small, size_t offset,
                 size_t from, size_t to, bool transpose)
{
    /* to [rows,columns] = small (or its transpose) [rows,rows] * from [rows,columns] */
    struct mr_gemm g = {.m = c.rows, .n = c.columns, .k = c.rows, .trans_a = transpose, .batch = c.batches};
    g.offset_a = offset, g.offset_b = from, g.offset_c = to;
    g.stride_a = (size_t)c.rows * (size_t)c.rows, g.stride_b = g.stride_c = c.head;
    return mr_gemm(rt, &g, small, scratch, scratch);
}

static int compare(mr_runtime *rt, struct sliding c, const mr_tensor *scratch, size_t a, size_t b,
                   const mr_tensor *small, size_t offset)
{
    /* small [rows,rows] = a [rows,columns] * b^T */
    struct mr_gemm g = {.m = c.rows, .n = c.rows, .k = c.columns, .trans_b = true, .batch = c.batches};
    g.offset_a = a, g.offset_b = b, g.offset_c = offset;
    g.stride_a = g.stride_b = c.head, g.stride_c = (size_t)c.rows * (size_t)c.rows;
    return mr_gemm(rt, &g, scratch, scratch, small);
}

int mr_reference_sliding_forward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkv,
                                 const mr_tensor *y, const mr_tensor *kept, const mr_tensor *scratch)
{
    const char *op = "reference sliding";
    size_t in, out;
    MR_TRY(need_sliding(op, s, kept, scratch, false, &in, &out));
    MR_TRY(mr_need_f32(op, "qkv", qkv, in));
    MR_TRY(mr_need_f32(op, "y", y, out));
    struct sliding c = shape_of(s);
    size_t q = 0, k = c.heads, v = 2 * c.heads, o = 3 * c.heads, rows = (size_t)c.batches * (size_t)c.rows;
    MR_TRY(move(rt, s, qkv, scratch, q, 3, false));
    MR_TRY(compare(rt, c, scratch, q, k, kept, 0));
    MR_TRY(mr_launch(rt, "softmax_forward", mr_row_shares(rt, rows, (size_t)c.rows), mr_in(kept), mr_out(kept),
                     mr_int((int)rows), mr_int(c.rows), mr_int(c.padding)));
    MR_TRY(weigh(rt, c, scratch, kept, 0, v, o, false));
    return move(rt, s, y, scratch, o, 1, true);
}

int mr_reference_sliding_backward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkv,
                                  const mr_tensor *kept, const mr_tensor *dy, const mr_tensor *dqkv,
                                  const mr_tensor *scratch)
{
    const char *op = "reference sliding backward";
    size_t in, out;
    MR_TRY(need_sliding(op, s, kept, scratch, true, &in, &out));
    MR_TRY(mr_need_f32(op, "qkv", qkv, in));
    MR_TRY(mr_need_f32(op, "dy", dy, out));
    MR_TRY(mr_need_f32(op, "dqkv", dqkv, in));
    struct sliding c = shape_of(s);
    size_t rows = (size_t)c.batches * (size_t)c.rows;
    size_t dp = 0, q = mr_reference_sliding_kept(s), k = q + c.heads, v = k + c.heads, g = v + c.heads;
    size_t dq = g + c.heads, dk = dq + c.heads, dv = dk + c.heads;
    MR_TRY(move(rt, s, qkv, scratch, q, 3, false));
    MR_TRY(move(rt, s, dy, scratch, g, 1, false));
    MR_TRY(weigh(rt, c, scratch, kept, 0, g, dv, true));
    MR_TRY(compare(rt, c, scratch, g, v, scratch, dp));
    MR_TRY(mr_launch(rt, "softmax_backward", mr_row_shares(rt, rows, (size_t)c.rows), mr_in(kept), mr_in(scratch),
                     mr_out(scratch), mr_int((int)rows), mr_int(c.rows)));
    MR_TRY(weigh(rt, c, scratch, scratch, dp, k, dq, false));
    MR_TRY(weigh(rt, c, scratch, scratch, dp, q, dk, true));
    return move(rt, s, dqkv, scratch, dq, 3, true);
}

/* ---- grouped --------------------------------------------------------------------------------------------
 */

size_t mr_reference_grouped_kept(const struct mr_reference_attention *s)
{
    return 4 * (size_t)s->batch * (size_t)s->time * (size_t)s->heads * (size_t)s->heads;
}

size_t mr_reference_grouped_scratch(const struct mr_reference_attention *s)
{
    return mr_reference_grouped_kept(s);
}

static int need_grouped(const char *op, const struct mr_reference_attention *s, const mr_tensor *kept, size_t *in,
                        size_t *out)
{
    MR_TRY(need_shape(op, s, 4, 4, in, out));
    if (s->heads > HEADS)
        return mr_fail(MR_EINVAL, "%s: %d heads, expected at most %d", op, s->heads, HEADS);
    MR_TRY(mr_need_count(op, mr_reference_grouped_kept(s)));
    return mr_need_f32(op, "kept", kept, mr_reference_grouped_kept(s));
}

/* A group of work-items for each of the 4*B*T small attentions, or several where it is alone. */
static struct mr_range small_attentions(const mr_runtime *rt, const struct mr_reference_attention *s)
{
    return mr_row_shares(rt, 4 * (size_t)s->batch * (size_t)s->time, (size_t)s->heads * (size_t)s->dim);
}

int mr_reference_grouped_forward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkvw,
                                 const mr_tensor *y, const mr_tensor *kept)
{
    const char *op = "reference grouped";
    size_t in, out;
    MR_TRY(need_grouped(op, s, kept, &in, &out));
    MR_TRY(mr_need_f32(op, "qkvw", qkvw, in));
    MR_TRY(mr_need_f32(op, "y", y, out));
    int width = s->dim / 4 / s->heads;
    mr_profile_note(rt, 4.0 * (double)(in + out), 4.0 * (double)out * s->heads);
    return mr_launch(rt, "reference_grouped_forward", small_attentions(rt, s), mr_in(qkvw), mr_out(kept), mr_out(y),
                     mr_int(s->batch), mr_int(s->time), mr_int(s->heads), mr_int(width),
                     mr_float(1.0f / sqrtf((float)width)));
}

int mr_reference_grouped_backward(mr_runtime *rt, const struct mr_reference_attention *s, const mr_tensor *qkvw,
                                  const mr_tensor *kept, const mr_tensor *dy, const mr_tensor *dqkvw,
                                  const mr_tensor *scratch)
{
    const char *op = "reference grouped backward";
    size_t in, out;
    MR_TRY(need_grouped(op, s, kept, &in, &out));
    MR_TRY(mr_need_f32(op, "qkvw", qkvw, in));
    MR_TRY(mr_need_f32(op, "dy", dy, out));
    MR_TRY(mr_need_f32(op, "dqkvw", dqkvw, in));
    MR_TRY(mr_need_f32(op, "scratch", scratch, mr_reference_grouped_scratch(s)));
    int width = s->dim / 4 / s->heads;
    mr_profile_note(rt, 4.0 * (double)(2 * in + out), 10.0 * (double)out * s->heads);
    return mr_launch(rt, "reference_grouped_backward", small_attentions(rt, s), mr_in(qkvw), mr_in(kept), mr_in(dy),
                     mr_out(scratch), mr_out(dqkvw), mr_int(s->batch), mr_int(s->time), mr_int(s->heads), mr_int(width),
                     mr_float(1.0f / sqrtf((float)width)));
}
