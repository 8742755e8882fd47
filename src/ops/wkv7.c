/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv7.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

/* *n is the number of elements of all positions, *pairs B*H. */
static int need_shape(const char *op, const struct mr_wkv7 *s, size_t *n, size_t *pairs)
{
    if (s->batch < 1 || s->time < 1 || s->heads < 1 || s->width < 1 || s->width > MR_WKV7_WIDTH)
        return mr_fail(MR_EINVAL,
                       "%s: batch %d, time %d, %d heads of width %d: all must be positive, the width at most %d", op,
                       s->batch, s->time, s->heads, s->width, MR_WKV7_WIDTH);
    size_t rows, state, limit = (size_t)1 << 30;
    if (!mr_mul((size_t)s->batch, (size_t)s->heads, pairs) || !mr_mul(*pairs, (size_t)s->width, &rows) ||
        !mr_mul(rows, (size_t)s->time, n) || !mr_mul(rows, (size_t)s->width, &state) || *n > limit || state > limit)
        return mr_fail(MR_EINVAL, "%s: batch %d, time %d, %d heads of width %d exceed 2^30 elements, split the batch",
                       op, s->batch, s->time, s->heads, s->width);
    return 0;
}

/* All kernels of the file are variants by the width of a head; each keeps the string that `defines` points to. */
static struct mr_range with_width(struct mr_range range, const struct mr_wkv7 *s, char defines[16])
{
    snprintf(defines, 16, "-DN=%d", s->width);
    range.defines = defines;
    return range;
}

int mr_wkv7_inputs(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *w, const mr_tensor *a, const mr_tensor *k,
                   const mr_tensor *v, const mr_tensor *kappa, const mr_tensor *v_first, const mr_tensor *share,
                   const mr_tensor *k_k, const mr_tensor *k_a)
{
    static const char op[] = "wkv7 inputs";
    size_t n, pairs, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(need_shape(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "w", w, n));
    MR_TRY(mr_need_f32(op, "a", a, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "kappa", kappa, n));
    if (mr_given(v_first)) {
        MR_TRY(mr_need_f32(op, "v_first", v_first, n));
        MR_TRY(mr_need_f32(op, "share", share, n));
    }
    MR_TRY(mr_need_f32(op, "k_k", k_k, dim));
    MR_TRY(mr_need_f32(op, "k_a", k_a, dim));
    mr_profile_note(rt, (mr_given(v_first) ? 44.0 : 28.0) * (double)n, 80.0 * (double)n);
    struct mr_range range = mr_row_shares(rt, n / (size_t)s->width, 4 * (size_t)s->width);
    return mr_launch(rt, "wkv7_inputs", with_width(range, s, defines), mr_out(w), mr_out(a), mr_out(k), mr_out(v),
                     mr_out(kappa), mr_in(v_first), mr_in(mr_given(v_first) ? share : NULL), mr_in(k_k), mr_in(k_a),
                     mr_int(s->batch * s->time), mr_int(s->heads));
}

int mr_wkv7_forward(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *change,
                    const mr_tensor *k, const mr_tensor *v, const mr_tensor *kappa, const mr_tensor *removal,
                    const mr_tensor *state, const mr_tensor *y)
{
    static const char op[] = "wkv7";
    size_t n, pairs, square = (size_t)s->width * (size_t)s->width;
    char defines[16];
    MR_TRY(need_shape(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "change", change, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "kappa", kappa, n));
    MR_TRY(mr_need_f32(op, "removal", removal, n));
    MR_TRY(mr_need_f32(op, "state", state, pairs * square));
    MR_TRY(mr_need_f32(op, "y", y, n));
    const struct mr_device_info *info = mr_runtime_info(rt);
    int columns = info->lanes == 1 ? 4 * info->vec : info->lanes;
    struct mr_range range = {{(size_t)mr_ceil_div(s->width, columns), pairs}, (size_t)info->lanes, NULL};
    mr_profile_note(rt, 28.0 * (double)n + 8.0 * (double)(pairs * square), 10.0 * (double)n * s->width);
    return mr_launch(rt, "wkv7_forward", with_width(range, s, defines), mr_in(r), mr_in(change), mr_in(k), mr_in(v),
                     mr_in(kappa), mr_in(removal), mr_out(state), mr_out(y), mr_int(s->time), mr_int(s->heads));
}

int mr_wkv7_output(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *k, const mr_tensor *v,
                   const mr_tensor *bonus, const mr_tensor *g, const mr_tensor *y)
{
    static const char op[] = "wkv7 output";
    size_t n, pairs;
    char defines[16];
    MR_TRY(need_shape(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "bonus", bonus, (size_t)s->heads * (size_t)s->width));
    MR_TRY(mr_need_f32(op, "g", g, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 24.0 * (double)n, 6.0 * (double)n);
    struct mr_range range = mr_row_shares(rt, n / (size_t)s->width, 2 * (size_t)s->width);
    return mr_launch(rt, "wkv7_output", with_width(range, s, defines), mr_in(r), mr_in(k), mr_in(v), mr_in(bonus),
                     mr_in(g), mr_out(y), mr_int(s->batch * s->time), mr_int(s->heads));
}
