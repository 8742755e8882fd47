/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rt/products.h"

#include <stdio.h>

#include "base/alloc.h"
#include "rt/gemm_own.h"
#include "rt/internal.h"

enum { MOST_ROWS = 16 };

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int panel_of(const struct mr_device_info *info)
{
    return info->lanes > 1 ? info->lanes : info->vec;
}

/* Groups of this many lanes share a panel's k. */
static int parts_of(const struct mr_device_info *info)
{
    enum { ITEMS = 256 };
    int parts = least(ITEMS, (int)info->max_group) / info->lanes;
    return info->lanes == 1 || parts < 1 ? 1 : parts;
}

/* ROWS: how many vectors a number of W is read for. */
static int rows_at_once(const struct mr_device_info *info, enum mr_element format, int rows)
{
    int most = info->lanes > 1 ? 4 : info->vec < 16 || format == MR_F32 ? 8 : MOST_ROWS, variant = 1;
    while (variant < rows && variant < most)
        variant *= 2;
    return variant;
}

/* The -D of a variant, written once. */
static const char *defines_of(mr_runtime *rt, enum mr_element format, int variant, int which)
{
    int at = 0;
    for (int v = variant; v > 1; v /= 2)
        at++;
    char *text = rt->gemm->defines[format][at][which];
    if (!*text)
        snprintf(text, sizeof rt->gemm->defines[format][at][which], "-DFORMAT=%d -DROWS=%d -DCOUNT=%d -DPARTS=%d",
                 (int)format, variant, 1 << which, parts_of(&rt->info));
    return text;
}

/* Panels that a group takes: work of some microseconds, and some groups for each core. */
static int share_of(const struct mr_device_info *info, const struct mr_product *p, enum mr_element format, int variant,
                    double all)
{
    enum { GROUPS_A_UNIT = 8, LEAST = 16384 };
    if (info->lanes > 1)
        return 1;
    int panel = panel_of(info), panels = (int)mr_ceil_div(p->n, panel);
    double share = all / (GROUPS_A_UNIT * info->compute_units);
    share = share > LEAST ? share : LEAST;
    int count = (int)(share / ((double)p->k * panel)) + 1, wide = variant <= 4 ? 4 : variant == 8 ? 2 : 1;
    if (format != MR_F32 && !p->transposed && panels >= 2 * wide * info->compute_units)
        count = (int)mr_ceil_div(count, wide) * wide;
    return least(count, panels);
}

/* The fields of struct product in cl/products.cl, and in [13] the last group, plus one, that takes it. */
static void fill(int32_t s[16], const struct mr_product *p, int panels)
{
    const int32_t fields[16] = {p->n,
                                p->k,
                                (int32_t)(p->w->count / (size_t)p->k),
                                (int32_t)(p->offset_w / (size_t)p->k),
                                p->ldx ? p->ldx : p->k,
                                p->ldy ? p->ldy : p->n,
                                p->ld_gate ? p->ld_gate : p->n,
                                p->ld_add ? p->ld_add : p->n,
                                (int32_t)p->offset_x,
                                (int32_t)p->offset_y,
                                (int32_t)p->offset_gate,
                                (int32_t)p->offset_add,
                                panels,
                                0,
                                0,
                                p->transposed | (int32_t)p->act << 1};
    for (int i = 0; i < 16; i++)
        s[i] = fields[i];
}

static int launch(mr_runtime *rt, const struct mr_product *const *list, int count, enum mr_element format, int rows)
{
    static const char *const names[] = {"products_1", "products_2", "products_4", "products_8"};
    const struct mr_device_info *info = &rt->info;
    int which = count > 4 ? 3 : count > 2 ? 2 : count - 1, places = 1 << which, groups = 0;
    int variant = rows_at_once(info, format, rows);
    struct mr_arg args[7 * MR_MOST_PRODUCTS + 1];
    int32_t fields[MR_MOST_PRODUCTS][16] = {{0}};
    double all = 0, bytes = 0, flops = 0;
    for (int i = 0; i < count; i++) {
        double weights = (double)list[i]->n * list[i]->k, size = (double)mr_element_block_bytes(list[i]->w->dtype);
        all += weights;
        bytes += weights * size / (double)mr_element_block(list[i]->w->dtype) + 4.0 * rows * (list[i]->n + list[i]->k);
        flops += 2 * weights * rows;
    }
    for (int i = 0; i < places; i++) {
        struct mr_product none = {0};
        const struct mr_product *p = i < count ? list[i] : &none;
        if (i < count) {
            int share = share_of(info, p, format, variant, all);
            fill(fields[i], p, share);
            groups += (int)mr_ceil_div(mr_ceil_div(p->n, panel_of(info)), share);
        }
        fields[i][13] = groups;
        struct mr_arg *a = args + 7 * i;
        a[0] = mr_in(p->x), a[1] = mr_in(p->w), a[2] = mr_in(p->bias), a[3] = mr_out(p->y);
        a[4] = mr_in(p->gate), a[5] = mr_in(p->add), a[6] = mr_int16(fields[i]);
    }
    args[7 * places] = mr_int(rows);
    struct mr_range range = {.groups = {(size_t)groups},
                             .local_size = (size_t)(info->lanes * parts_of(info)),
                             .defines = defines_of(rt, format, variant, which)};
    mr_profile_note(rt, bytes, flops);
    return mr_launch_args(rt, names[which], range, args, 7 * places + 1);
}

int mr_products_launch(mr_runtime *rt, const struct mr_product *list, int count, int rows)
{
    bool done[MR_MOST_PRODUCTS] = {0};
    for (int first = 0; first < count; first++) {
        const struct mr_product *same[MR_MOST_PRODUCTS];
        int n = 0, chosen = first;
        if (done[first])
            continue;
        while (chosen < count && (done[chosen] || list[chosen].transposed))
            chosen++; /* transposed ones go with any */
        enum mr_element format = chosen < count ? list[chosen].w->dtype : MR_F32;
        for (int i = first; i < count; i++)
            if (!done[i] && (list[i].transposed || list[i].w->dtype == format)) {
                same[n++] = &list[i];
                done[i] = true;
            }
        MR_TRY(launch(rt, same, n, format, rows));
    }
    return 0;
}
