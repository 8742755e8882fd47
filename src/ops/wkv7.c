/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv7.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

int mr_wkv7_need(const char *op, const struct mr_wkv7 *s, size_t *n, size_t *pairs)
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

int mr_wkv7_inputs(mr_runtime *rt, const struct mr_wkv7 *s, const struct mr_wkv7_inputs *x)
{
    static const char op[] = "wkv7 inputs";
    size_t n, pairs, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv7_need(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "w", x->w, n));
    MR_TRY(mr_need_f32(op, "a", x->a, n));
    MR_TRY(mr_need_f32(op, "k", x->k, n));
    MR_TRY(mr_need_f32(op, "v", x->v, n));
    MR_TRY(mr_need_f32(op, "change", x->change, n));
    MR_TRY(mr_need_f32(op, "removal", x->removal, n));
    MR_TRY(mr_need_f32(op, "key", x->key, n));
    MR_TRY(mr_need_f32(op, "kappa", x->kappa, n));
    bool mixes = mr_given(x->v_first);
    if (mixes) {
        MR_TRY(mr_need_f32(op, "v_first", x->v_first, n));
        MR_TRY(mr_need_f32(op, "share", x->share, n));
        MR_TRY(mr_need_f32(op, "value", x->value, n));
    }
    MR_TRY(mr_need_f32(op, "k_k", x->k_k, dim));
    MR_TRY(mr_need_f32(op, "k_a", x->k_a, dim));
    mr_profile_note(rt, (mixes ? 44.0 : 28.0) * (double)n, 80.0 * (double)n);
    struct mr_range range = mr_row_shares(rt, n / (size_t)s->width, 4 * (size_t)s->width);
    return mr_launch(rt, "wkv7_inputs", with_width(range, s, defines), mr_in(x->w), mr_in(x->a), mr_in(x->k),
                     mr_in(x->v), mr_out(x->change), mr_out(x->removal), mr_out(x->key),
                     mr_out(mixes ? x->value : NULL), mr_out(x->kappa), mr_in(x->v_first),
                     mr_in(mixes ? x->share : NULL), mr_in(x->k_k), mr_in(x->k_a), mr_int(s->batch * s->time),
                     mr_int(s->heads));
}

/* As many as a backward's lanes find room for: eight rows of a head for each position and four squares in 32 KiB of
 * local memory; on a CPU, whose caches are larger, more. */
int mr_wkv7_chunk(const mr_runtime *rt, int width)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    if (info->lanes == 1)
        return width <= 64 ? 16 : 8;
    size_t row = mr_round_up((size_t)width, (size_t)info->vec), chunk = 16;
    while (chunk > 4 && 8 * chunk * row + 4 * chunk * chunk + (chunk / 4 + 3) * row > 8000)
        chunk -= 4;
    return (int)chunk;
}

size_t mr_wkv7_kept(const mr_runtime *rt, const struct mr_wkv7 *s)
{
    size_t chunks = (size_t)mr_ceil_div(s->time, mr_wkv7_chunk(rt, s->width));
    return (size_t)s->batch * (size_t)s->heads * chunks * (size_t)s->width * (size_t)s->width;
}

int mr_wkv7_forward(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *change,
                    const mr_tensor *k, const mr_tensor *v, const mr_tensor *kappa, const mr_tensor *removal,
                    const mr_tensor *state, const mr_tensor *y, const mr_tensor *kept)
{
    static const char op[] = "wkv7";
    size_t n, pairs, square = (size_t)s->width * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv7_need(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "change", change, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "kappa", kappa, n));
    MR_TRY(mr_need_f32(op, "removal", removal, n));
    MR_TRY(mr_need_f32(op, "state", state, pairs * square));
    MR_TRY(mr_need_f32(op, "y", y, n));
    if (mr_given(kept))
        MR_TRY(mr_need_f32(op, "kept", kept, mr_wkv7_kept(rt, s)));
    const struct mr_device_info *info = mr_runtime_info(rt);
    int columns = info->lanes == 1 ? 4 * info->vec : info->lanes;
    struct mr_range range = {{(size_t)mr_ceil_div(s->width, columns), pairs}, (size_t)info->lanes, NULL};
    mr_profile_note(rt, 28.0 * (double)n + 8.0 * (double)(pairs * square), 10.0 * (double)n * s->width);
    return mr_launch(rt, "wkv7_forward", with_width(range, s, defines), mr_in(r), mr_in(change), mr_in(k), mr_in(v),
                     mr_in(kappa), mr_in(removal), mr_out(state), mr_out(y), mr_out(kept),
                     mr_int(mr_wkv7_chunk(rt, s->width)), mr_int(s->time), mr_int(s->heads));
}

int mr_wkv7_output(mr_runtime *rt, const struct mr_wkv7 *s, const mr_tensor *r, const mr_tensor *k, const mr_tensor *v,
                   const mr_tensor *bonus, const mr_tensor *g, const mr_tensor *x, const mr_tensor *y)
{
    static const char op[] = "wkv7 output";
    size_t n, pairs;
    char defines[16];
    MR_TRY(mr_wkv7_need(op, s, &n, &pairs));
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "bonus", bonus, (size_t)s->heads * (size_t)s->width));
    MR_TRY(mr_need_f32(op, "g", g, n));
    MR_TRY(mr_need_f32(op, "x", x, n));
    MR_TRY(mr_need_f32(op, "y", y, n));
    mr_profile_note(rt, 24.0 * (double)n, 6.0 * (double)n);
    struct mr_range range = mr_row_shares(rt, n / (size_t)s->width, 2 * (size_t)s->width);
    return mr_launch(rt, "wkv7_output", with_width(range, s, defines), mr_in(r), mr_in(k), mr_in(v), mr_in(bonus),
                     mr_in(g), mr_in(x), mr_out(y), mr_int(s->batch * s->time), mr_int(s->heads));
}
