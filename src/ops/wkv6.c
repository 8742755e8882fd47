/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv6.h"

#include <stdio.h>

#include "base/alloc.h"
#include "ops/check.h"

int mr_wkv6_need(const char *op, const struct mr_wkv6 *s, size_t *n)
{
    if (s->batch < 1 || s->time < 1 || s->heads < 1 || s->width < 1 || s->width > MR_WKV6_WIDTH)
        return mr_fail(MR_EINVAL,
                       "%s: batch %d, time %d, %d heads of width %d: all must be positive, the width at most %d", op,
                       s->batch, s->time, s->heads, s->width, MR_WKV6_WIDTH);
    size_t rows, state, pairs, limit = (size_t)1 << 30;
    if (!mr_mul((size_t)s->batch, (size_t)s->time, &rows) || !mr_mul(rows, (size_t)s->heads, n) ||
        !mr_mul(*n, (size_t)s->width, n) || *n > limit || !mr_mul((size_t)s->batch, (size_t)s->heads, &pairs) ||
        !mr_mul(pairs, (size_t)s->width * (size_t)s->width, &state) || state > limit)
        return mr_fail(MR_EINVAL, "%s: batch %d, time %d, %d heads of width %d exceed 2^30 elements, split the batch",
                       op, s->batch, s->time, s->heads, s->width);
    return 0;
}

int mr_wkv6_need_decay(const char *op, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x, size_t *n)
{
    size_t dim = (size_t)s->heads * (size_t)s->width;
    MR_TRY(mr_wkv6_need(op, s, n));
    if (mr_given(x) != s->varies)
        return mr_fail(MR_EINVAL, "%s: x %s", op,
                       s->varies ? "is missing, the decay varies" : "has no place where the decay is fixed");
    *n = s->varies ? *n : dim;
    MR_TRY(mr_need_f32(op, "decay", decay, dim));
    return s->varies ? mr_need_f32(op, "x", x, *n) : 0;
}

struct mr_range mr_wkv6_variant(struct mr_range range, const struct mr_wkv6 *s, char defines[16])
{
    snprintf(defines, 16, "-DN=%d", s->width);
    range.defines = defines;
    return range;
}

size_t mr_wkv6_kept(const struct mr_wkv6 *s)
{
    size_t chunks = (size_t)mr_ceil_div(s->time, MR_WKV6_CHUNK);
    return (size_t)s->batch * (size_t)s->heads * chunks * (size_t)s->width * (size_t)s->width;
}

int mr_wkv6_forward(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *r, const mr_tensor *k, const mr_tensor *v,
                    const mr_tensor *change, const mr_tensor *u, const mr_tensor *state, const mr_tensor *y,
                    const mr_tensor *kept)
{
    static const char op[] = "wkv6";
    size_t n;
    char defines[16];
    MR_TRY(mr_wkv6_need(op, s, &n));
    size_t pairs = (size_t)s->batch * (size_t)s->heads, square = (size_t)s->width * (size_t)s->width;
    size_t dim = (size_t)s->heads * (size_t)s->width;
    MR_TRY(mr_need_f32(op, "r", r, n));
    MR_TRY(mr_need_f32(op, "k", k, n));
    MR_TRY(mr_need_f32(op, "v", v, n));
    MR_TRY(mr_need_f32(op, "change", change, s->varies ? n : dim));
    MR_TRY(mr_need_f32(op, "u", u, dim));
    MR_TRY(mr_need_f32(op, "state", state, pairs * square));
    MR_TRY(mr_need_f32(op, "y", y, n));
    if (mr_given(kept))
        MR_TRY(mr_need_f32(op, "kept", kept, mr_wkv6_kept(s)));
    const struct mr_device_info *info = mr_runtime_info(rt);
    int columns = info->lanes == 1 ? 8 * info->vec : info->lanes;
    struct mr_range range = {{(size_t)mr_ceil_div(s->width, columns), pairs}, (size_t)info->lanes, NULL};
    mr_profile_note(rt, 4.0 * ((s->varies ? 5.0 : 4.0) * (double)n + 2.0 * (double)(pairs * square)),
                    6.0 * (double)n * s->width);
    return mr_launch(rt, "wkv6_forward", mr_wkv6_variant(range, s, defines), mr_in(r), mr_in(k), mr_in(v),
                     mr_in(change), mr_in(u), mr_out(state), mr_out(y), mr_out(kept), mr_int(MR_WKV6_CHUNK),
                     mr_int(s->time), mr_int(s->heads), mr_int(s->varies));
}

int mr_wkv6_change(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *x,
                   const mr_tensor *change)
{
    static const char op[] = "wkv6 change";
    size_t n, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv6_need_decay(op, s, decay, x, &n));
    MR_TRY(mr_need_f32(op, "change", change, n));
    mr_profile_note(rt, (s->varies ? 8.0 : 4.0) * (double)n, 30.0 * (double)n);
    return mr_launch(rt, "wkv6_change", mr_wkv6_variant(mr_row_shares(rt, n / dim, 8 * dim), s, defines), mr_in(decay),
                     mr_in(x), mr_out(change), mr_int((int)(n / dim)), mr_int((int)dim));
}

int mr_wkv6_heads(mr_runtime *rt, const struct mr_wkv6 *s, const mr_tensor *decay, const mr_tensor *first,
                  const mr_tensor *change, const mr_tensor *u)
{
    static const char op[] = "wkv6 heads";
    size_t n, dim = (size_t)s->heads * (size_t)s->width;
    char defines[16];
    MR_TRY(mr_wkv6_need(op, s, &n));
    MR_TRY(mr_need_f32(op, "decay", decay, (size_t)s->heads));
    MR_TRY(mr_need_f32(op, "first", first, (size_t)s->heads));
    MR_TRY(mr_need_f32(op, "change", change, dim));
    MR_TRY(mr_need_f32(op, "u", u, dim));
    struct mr_range range = mr_row_shares(rt, (size_t)s->heads, (size_t)s->width);
    return mr_launch(rt, "wkv6_heads", mr_wkv6_variant(range, s, defines), mr_in(decay), mr_in(first), mr_out(change),
                     mr_out(u), mr_int(s->heads));
}
