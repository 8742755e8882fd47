/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rt/gemm_own.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

static int at_least(int a, int b)
{
    return a > b ? a : b;
}

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

static int parts(int n, int size)
{
    return (int)mr_ceil_div(n, size);
}

/* Where neighbours along the rows and columns of op(A), and of op(B) transposed, lie. */
static int row_a(const struct mr_gemm *g)
{
    return g->trans_a ? 1 : g->lda;
}

static int col_a(const struct mr_gemm *g)
{
    return g->trans_a ? g->lda : 1;
}

/* ---- vectors ------------------------------------------------------------------------------------------- */

/* y_r = W x_r, as cl/matvec.cl says: either B or A is the matrix W. */
struct vectors {
    bool matrix_is_a, columns; /* columns: W is stored transposed */
    int rows, n;
    int ldw, row_x, col_x, row_y, col_y, row_bias, col_bias;
};

static bool as_vectors(const struct mr_gemm *g, struct vectors *v)
{
    if (g->m <= MR_GEMM_VECTORS) {
        *v = (struct vectors){.columns = !g->trans_b,
                              .rows = g->m,
                              .n = g->n,
                              .ldw = g->ldb,
                              .row_x = row_a(g),
                              .col_x = col_a(g),
                              .row_y = g->ldc,
                              .col_y = 1,
                              .col_bias = 1};
        if (v->columns || v->col_x == 1)
            return true;
    }
    if (g->n <= MR_GEMM_VECTORS) {
        *v = (struct vectors){.matrix_is_a = true,
                              .columns = g->trans_a,
                              .rows = g->n,
                              .n = g->m,
                              .ldw = g->lda,
                              .row_x = g->trans_b ? g->ldb : 1,
                              .col_x = g->trans_b ? 1 : g->ldb,
                              .row_y = 1,
                              .col_y = g->ldc,
                              .row_bias = 1};
        return v->columns || v->col_x == 1;
    }
    return false;
}

bool mr_gemm_is_vectors(const struct mr_gemm *g)
{
    struct vectors v;
    return as_vectors(g, &v);
}

static void note(mr_runtime *rt, const struct mr_gemm *g)
{
    double m = g->m, n = g->n, k = g->k, batch = g->batch;
    double weight = (double)mr_element_block_bytes(g->format) / (double)mr_element_block(g->format);
    mr_profile_note(rt, batch * (4 * m * k + weight * k * n + (g->beta != 0 ? 8 : 4) * m * n), 2 * batch * m * n * k);
}

/* Outputs that a group takes one after the other: some microseconds of reading. */
static int vector_block(const struct mr_device_info *info, const struct vectors *v, int k)
{
    enum { SHARE = 4, GROUPS_A_UNIT = 8, LEAST_FLOATS = 16384 };
    if (info->lanes > 1)
        return SHARE;
    int block = at_least(parts(v->n, GROUPS_A_UNIT * info->compute_units), parts(LEAST_FLOATS, k));
    return parts(block, SHARE) * SHARE;
}

int mr_gemm_vectors(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *a, const mr_tensor *b, const mr_tensor *c)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct vectors v;
    if (!as_vectors(g, &v))
        return mr_fail(MR_EINVAL, "gemm: %d x %d is no product with vectors", g->m, g->n);
    int variant = v.rows > 4 ? 8 : v.rows > 2 ? 4 : v.rows;
    char defines[24];
    snprintf(defines, sizeof defines, "-DROWS=%d", variant);
    struct mr_range range = {.groups = {1, 1, (size_t)g->batch}, .local_size = (size_t)info->lanes, .defines = defines};
    const mr_tensor *w = v.matrix_is_a ? a : b, *x = v.matrix_is_a ? b : a;
    struct mr_arg bias = mr_in(g->bias), offset_c = mr_ulong(g->offset_c), stride_c = mr_ulong(g->stride_c);
    struct mr_arg offset_w = mr_ulong(v.matrix_is_a ? g->offset_a : g->offset_b);
    struct mr_arg offset_x = mr_ulong(v.matrix_is_a ? g->offset_b : g->offset_a);
    struct mr_arg stride_w = mr_ulong(v.matrix_is_a ? g->stride_a : g->stride_b);
    struct mr_arg stride_x = mr_ulong(v.matrix_is_a ? g->stride_b : g->stride_a);
    note(rt, g);
    if (v.columns) {
        int outputs = info->lanes > 1 ? info->lanes : info->vec * (variant == 8 ? 2 : 4);
        range.groups[0] = (size_t)parts(v.n, outputs);
        return mr_launch(rt, "matvec_columns", range, mr_in(w), mr_in(x), mr_out(c), bias, offset_w, offset_x, offset_c,
                         stride_w, stride_x, stride_c, mr_int(v.rows), mr_int(v.n), mr_int(g->k), mr_int(v.ldw),
                         mr_int(v.row_x), mr_int(v.col_x), mr_int(v.row_y), mr_int(v.col_y), mr_int(v.row_bias),
                         mr_int(v.col_bias), mr_int(g->beta != 0));
    }
    int block = vector_block(info, &v, g->k);
    range.groups[0] = (size_t)parts(v.n, block);
    return mr_launch(rt, "matvec_rows", range, mr_in(w), mr_in(x), mr_out(c), bias, offset_w, offset_x, offset_c,
                     stride_w, stride_x, stride_c, mr_int(v.rows), mr_int(v.n), mr_int(g->k), mr_int(v.ldw),
                     mr_int(v.row_x), mr_int(v.row_y), mr_int(v.col_y), mr_int(v.row_bias), mr_int(v.col_bias),
                     mr_int(g->beta != 0), mr_int(block));
}

/* ---- matrices ------------------------------------------------------------------------------------------ */

/* How the work is cut; all but `defines` depends on the device's limits and compute units only. */
struct cut {
    int rows, columns;       /* of C, that a group takes; `columns` is `panels` panels */
    int panels, groups;      /* per product or slice */
    int slices, slice_depth; /* of k; 1 slice: the sum is not cut */
    size_t local_size;
    char defines[80];
};

enum { GROUPS_A_UNIT = 4 };

/* A CPU: packing a panel pays when enough rows use it; A's rows should stay in the second cache between panels. */
static void cut_for_cpu(const struct mr_device_info *info, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles,
                        struct cut *cut)
{
    enum { MOST_ROWS = 256, LEAST_TILES = 4, CACHED = 1 << 17 /* floats */, MOST_PANELS = 4 };
    int width = tiles->vectors * info->vec, depth = tiles->depth, wanted = GROUPS_A_UNIT * info->compute_units;
    int block = at_least(16, (int)mr_element_block(g->format)); /* a panel's depth is in whole blocks */
    while (depth > block && (size_t)depth * (size_t)width * sizeof(float) > info->local_memory)
        depth /= 2;
    if (mr_is_weights(g->format))
        depth = at_least(depth / block, 1) * block;
    int tall = parts(g->m, tiles->rows), wide = parts(g->n, width);
    int chunks = parts(g->m, MOST_ROWS);
    while ((double)wide * chunks * g->batch < wanted && tall / (chunks + 1) >= LEAST_TILES)
        chunks++;
    cut->rows = parts(tall, chunks) * tiles->rows;
    chunks = parts(g->m, cut->rows);
    cut->panels = 1;
    if ((double)cut->rows * g->k > CACHED) {
        double share = (double)wide * chunks * g->batch / wanted;
        cut->panels = at_least(1, share < MOST_PANELS ? (int)share : MOST_PANELS);
    }
    cut->columns = cut->panels * width;
    cut->local_size = 1;
    snprintf(cut->defines, sizeof cut->defines, "-DTILE_M=%d -DTILE_V=%d -DDEPTH=%d", tiles->rows, tiles->vectors,
             depth);
}

static void cut_for_gpu(const struct mr_device_info *info, const struct mr_gemm_tiles *tiles, struct cut *cut)
{
    int side = tiles->side;
    while (side > 1 && (size_t)side * (size_t)side > info->max_group)
        side /= 2;
    cut->rows = cut->columns = 4 * side;
    cut->panels = 1;
    cut->local_size = (size_t)side * (size_t)side;
    snprintf(cut->defines, sizeof cut->defines, "-DSIDE=%d", side);
}

/* A deep product with few groups is cut along k too. */
static void cut_depth(const struct mr_device_info *info, const struct mr_gemm *g, struct cut *cut)
{
    bool alone = info->lanes == 1;
    int least = alone ? 512 : 64, step = at_least(16, (int)mr_element_block(g->format)); /* positions of a slice */
    int wanted = (alone ? 1 : GROUPS_A_UNIT) * info->compute_units;
    cut->groups = at_most(parts(g->m, cut->rows), 1 << 15) * at_most(parts(g->n, cut->columns), 1 << 15);
    cut->slices = 1;
    if (g->batch == 1 && cut->groups < wanted)
        cut->slices = at_least(1, at_most(parts(wanted, cut->groups), g->k / least));
    cut->slice_depth = cut->slices > 1 ? parts(parts(g->k, cut->slices), step) * step : g->k;
    cut->slices = parts(g->k, cut->slice_depth);
}

static struct cut cut_product(const mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles)
{
    const struct mr_device_info *info = mr_runtime_info(rt);
    struct cut cut = {0};
    if (info->lanes == 1)
        cut_for_cpu(info, g, tiles, &cut);
    else
        cut_for_gpu(info, tiles, &cut);
    if (mr_is_weights(g->format)) {
        size_t used = strlen(cut.defines);
        snprintf(cut.defines + used, sizeof cut.defines - used, " -DFORMAT=%d", (int)g->format);
    }
    cut_depth(info, g, &cut);
    return cut;
}

size_t mr_gemm_own_scratch(const mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles)
{
    struct cut cut = cut_product(rt, g, tiles);
    return cut.slices > 1 ? (size_t)cut.slices * (size_t)g->m * (size_t)g->n : 0;
}

static int add_parts(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *from, int count, bool accumulate,
                     size_t offset_c, const mr_tensor *c)
{
    return mr_launch(rt, "gemm_add_parts", mr_items(rt, (size_t)g->m * (size_t)g->n), mr_in(from), mr_out(c),
                     mr_in(g->bias), mr_ulong(offset_c), mr_int(g->m), mr_int(g->n), mr_int(count), mr_int(g->ldc),
                     mr_int(accumulate));
}

int mr_gemm_own(mr_runtime *rt, const struct mr_gemm *g, const struct mr_gemm_tiles *tiles, const mr_tensor *a,
                const mr_tensor *b, const mr_tensor *c, const mr_tensor *scratch)
{
    struct cut cut = cut_product(rt, g, tiles);
    bool sliced = cut.slices > 1, weights = mr_is_weights(g->format);
    size_t depth = (size_t)cut.slice_depth, next_b = depth * (size_t)(g->trans_b ? 1 : g->ldb);
    struct mr_range range = {
        {(size_t)parts(g->n, cut.columns), (size_t)parts(g->m, cut.rows), (size_t)(sliced ? cut.slices : g->batch)},
        cut.local_size,
        cut.defines};
    note(rt, g);
    MR_TRY(mr_launch(
        rt, "gemm_own", range, mr_in(a), mr_in(b), mr_out(sliced ? scratch : c), mr_in(sliced ? NULL : g->bias),
        mr_ulong(g->offset_a), mr_ulong(weights ? g->offset_b / (size_t)g->k : g->offset_b),
        mr_ulong(sliced ? 0 : g->offset_c), mr_ulong(sliced ? depth * (size_t)col_a(g) : g->stride_a),
        mr_ulong(sliced ? next_b : g->stride_b), mr_ulong(sliced ? (size_t)g->m * (size_t)g->n : g->stride_c),
        mr_int(g->m), mr_int(g->n), mr_int(cut.slice_depth), mr_int(sliced ? g->k : 0), mr_int(row_a(g)),
        mr_int(col_a(g)), mr_int(g->ldb), mr_int(weights ? (int)(b->count / (size_t)g->k) : g->trans_b),
        mr_int(sliced ? g->n : g->ldc), mr_int(!sliced && g->beta != 0), mr_int(cut.rows), mr_int(cut.panels)));
    return sliced ? add_parts(rt, g, scratch, cut.slices, g->beta != 0, g->offset_c, c) : 0;
}

int mr_gemm_widen(mr_runtime *rt, const mr_tensor *w, int k, size_t first, int rows, const mr_tensor *to)
{
    char defines[24];
    snprintf(defines, sizeof defines, "-DFORMAT=%d", (int)w->dtype);
    struct mr_range range = mr_items(rt, (size_t)rows * (size_t)k);
    range.defines = defines;
    return mr_launch(rt, "gemm_widen", range, mr_in(w), mr_out(to), mr_int((int)(w->count / (size_t)k)), mr_int(k),
                     mr_int((int)first), mr_int(rows));
}

int mr_gemm_add_bias(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor *c)
{
    for (int z = 0; z < g->batch; z++)
        MR_TRY(add_parts(rt, g, NULL, 0, true, g->offset_c + (size_t)z * g->stride_c, c));
    return 0;
}
