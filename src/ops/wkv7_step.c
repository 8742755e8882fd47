/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops/wkv7_step.h"

#include <stdio.h>

static int need_inputs(const char *op, const struct mr_wkv7_step *s, size_t n, size_t dim)
{
    const struct {
        const char *name;
        const mr_tensor *tensor;
        size_t count;
    } all[] = {
        {"r", s->r, n},         {"k", s->k, n},
        {"v", s->v, n},         {"w", s->w, n},
        {"a", s->a, n},         {"g", s->g, n},
        {"k_k", s->k_k, dim},   {"k_a", s->k_a, dim},
        {"r_k", s->r_k, dim},   {"weight", s->weight, dim},
        {"bias", s->bias, dim},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        MR_TRY(mr_need_f32(op, all[i].name, all[i].tensor, all[i].count));
    if (!mr_given(s->v_first) && !mr_given(s->share))
        return 0;
    MR_TRY(mr_need_f32(op, "v_first", s->v_first, n));
    return mr_need_f32(op, "share", s->share, n);
}

int mr_wkv7_step(mr_runtime *rt, const struct mr_wkv7_step *s, const mr_tensor *y)
{
    static const char op[] = "wkv7 step";
    char defines[16];
    size_t n, dim, square = (size_t)s->width * (size_t)s->width, units = (size_t)s->rows * (size_t)s->heads;
    MR_TRY(mr_need_heads(op, s->rows, s->heads, s->width, MR_WKV7_STEP_WIDTH, &dim, &n));
    MR_TRY(need_inputs(op, s, n, dim));
    MR_TRY(mr_need_slots(op, &s->slots, s->rows, dim * (size_t)s->width));
    MR_TRY(mr_need_f32(op, "y", y, n));
    struct mr_range range = mr_row_shares(rt, units, square);
    snprintf(defines, sizeof defines, "-DN=%d", s->width);
    range.defines = defines;
    mr_profile_note(rt, 8.0 * (double)(units * square) + 36.0 * (double)n, 10.0 * (double)(units * square));
    return mr_launch(rt, "wkv7_step", range, mr_in(s->r), mr_in(s->w), mr_in(s->a), mr_in(s->k), mr_in(s->v),
                     mr_in(s->v_first), mr_in(s->share), mr_in(s->g), mr_in(s->k_k), mr_in(s->k_a), mr_in(s->r_k),
                     mr_in(s->weight), mr_in(s->bias), mr_out(s->slots.state), mr_in(s->slots.of), mr_out(y),
                     mr_int(s->rows), mr_int(s->heads), mr_int(s->slots.stride), mr_float(s->eps));
}
