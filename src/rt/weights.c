/* SPDX-License-Identifier: GPL-3.0-or-later
 * Formats of weights on the device. Rows are interleaved in panels of P rows, P the floats that a work-item takes
 * at a time on a CPU, else the work-items that share a row; the last panel of a matrix has as many rows as are left.
 * A panel of h rows holds, for f16 and bf16, element p of all its rows, then element p + 1, and so on; for the
 * quantised formats block after block, of each block the f16 d of all rows, the f16 m of all rows, the lower halves
 * of their fifth bits, the upper halves, then their first byte of digits, the second, and so on. Where work-items
 * share a row, G neighbours (2 halves, 4 bytes of digits) of one row stay together. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/internal.h"

enum { TAIL = 64 /* bytes that a vector of the last panel may read beyond it */ };

static const struct format {
    const char *name;
    uint8_t block, bytes;
    uint8_t halves, digits; /* of a block: 16-bit fields, then bytes */
} formats[MR_ELEMENTS] = {
    [MR_F32] = {"f32", 1, 4, 0, 0},      [MR_I32] = {"i32", 1, 4, 0, 0},      [MR_F16] = {"f16", 1, 2, 1, 0},
    [MR_BF16] = {"bf16", 1, 2, 1, 0},    [MR_Q8_0] = {"q8_0", 32, 34, 1, 32}, [MR_Q5_1] = {"q5_1", 32, 24, 4, 16},
    [MR_Q5_0] = {"q5_0", 32, 22, 3, 16}, [MR_Q4_1] = {"q4_1", 32, 20, 2, 16}, [MR_Q4_0] = {"q4_0", 32, 18, 1, 16},
};

const char *mr_element_name(enum mr_element dtype)
{
    return (unsigned)dtype < MR_ELEMENTS ? formats[dtype].name : "unknown";
}

size_t mr_element_block(enum mr_element dtype)
{
    return formats[dtype].block;
}

size_t mr_element_block_bytes(enum mr_element dtype)
{
    return formats[dtype].bytes;
}

size_t mr_element_bytes(enum mr_element dtype, size_t count)
{
    const struct format *f = &formats[dtype];
    return count / f->block * f->bytes + (mr_is_weights(dtype) ? TAIL : 0);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

/* How the rows of a panel and its place on the device belong together. */
struct move {
    const struct format *format;
    size_t blocks; /* of a row */
    size_t group;  /* G, of digits or, if there are none, of halves */
    bool back;     /* to the rows */
};

static inline void move_bytes(uint8_t *row, uint8_t *device, size_t n, bool back)
{
    if (back)
        memcpy(row, device, n);
    else
        memcpy(device, row, n);
}

/* f16 and bf16: `blocks` halves a row; what is left over after whole groups lies one by one. The loops run along the
 * device's memory, and `back` and mostly `group` are constants: this moves whole models. */
static inline void move_halves(const struct move *m, uint8_t *rows, uint8_t *device, size_t h, size_t group, bool back)
{
    size_t k = m->blocks;
    for (size_t p = 0; p < k; p += group) {
        group = p + group <= k ? group : 1;
        for (size_t r = 0; r < h; r++, device += 2 * group)
            move_bytes(rows + 2 * (r * k + p), device, 2 * group, back);
    }
}

static inline void move_blocks(const struct move *m, uint8_t *rows, uint8_t *device, size_t h, size_t group, bool back)
{
    const struct format *f = m->format;
    size_t bytes = f->bytes, row = m->blocks * bytes;
    for (size_t b = 0; b < m->blocks; b++, rows += bytes) {
        for (size_t i = 0; i < f->halves; i++)
            for (size_t r = 0; r < h; r++, device += 2)
                move_bytes(rows + r * row + 2 * i, device, 2, back);
        for (size_t i = 2 * (size_t)f->halves; i < bytes; i += group)
            for (size_t r = 0; r < h; r++, device += group)
                move_bytes(rows + r * row + i, device, group, back);
    }
}

static void move_panel(const struct move *m, uint8_t *rows, uint8_t *device, size_t h)
{
    if (m->format->digits && m->group == 1)
        m->back ? move_blocks(m, rows, device, h, 1, true) : move_blocks(m, rows, device, h, 1, false);
    else if (m->format->digits)
        m->back ? move_blocks(m, rows, device, h, 4, true) : move_blocks(m, rows, device, h, 4, false);
    else if (m->group == 1)
        m->back ? move_halves(m, rows, device, h, 1, true) : move_halves(m, rows, device, h, 1, false);
    else
        m->back ? move_halves(m, rows, device, h, 2, true) : move_halves(m, rows, device, h, 2, false);
}

/* Checks, and how a row lies there. */
static int prepare(const mr_runtime *rt, const char *what, const mr_tensor *t, size_t k, size_t first, size_t rows,
                   struct move *move)
{
    if (!t->mem)
        return mr_fail(MR_EINVAL, "%s: the tensor has no memory", what);
    const struct format *f = &formats[t->dtype];
    if (k == 0 || t->count % k || k % f->block)
        return mr_fail(MR_EINVAL, "%s: %zu elements of %s are no rows of %zu%s", what, t->count, f->name, k,
                       k && k % f->block ? ": a row of this format is a multiple of 32" : "");
    size_t all = t->count / k;
    if (rows > all || first > all - rows)
        return mr_fail(MR_EINVAL, "%s: rows %zu to %zu of %zu", what, first, first + rows, all);
    if (mr_is_weights(t->dtype) && (first % MR_ROWS_TOGETHER || (rows % MR_ROWS_TOGETHER && first + rows < all)))
        return mr_fail(MR_EINVAL, "%s: rows %zu to %zu of %zu: pieces begin and end at multiples of %d rows", what,
                       first, first + rows, all, MR_ROWS_TOGETHER);
    bool shared = rt->info.lanes > 1;
    *move = (struct move){.format = f, .blocks = k / f->block, .group = !shared ? 1 : f->digits ? 4 : 2};
    return 0;
}

static void move_panels(const mr_runtime *rt, const struct move *move, uint8_t *rows, uint8_t *device, size_t count)
{
    size_t panel = (size_t)(rt->info.lanes > 1 ? rt->info.lanes : rt->info.vec), h;
    for (; count > 0; count -= h) {
        h = count < panel ? count : panel;
        move_panel(move, rows, device, h);
        rows += h * move->blocks * move->format->bytes;
        device += h * move->blocks * move->format->bytes;
    }
}

/* Rows that are rearranged at a time: some MiB, whole panels. */
static size_t piece_of(size_t row_bytes)
{
    enum { PIECE = 1 << 21 };
    size_t together = PIECE / row_bytes / MR_ROWS_TOGETHER * MR_ROWS_TOGETHER;
    return together ? together : MR_ROWS_TOGETHER;
}

int mr_write_rows(mr_runtime *rt, const mr_tensor *t, size_t k, size_t first, size_t rows, const void *host)
{
    struct move move;
    MR_TRY(prepare(rt, "mr_write_rows", t, k, first, rows, &move));
    if (!mr_is_weights(t->dtype))
        return mr_write(rt, t, first * k, rows * k, host);
    size_t row = move.blocks * move.format->bytes, most = piece_of(row);
    uint8_t *piece = mr_alloc(most < rows ? most : rows, row);
    if (!piece)
        return MR_ENOMEM;
    int err = 0;
    for (size_t r = 0, n; r < rows; r += n) {
        n = rows - r < most ? rows - r : most;
        move_panels(rt, &move, (uint8_t *)host + r * row, piece, n); /* only read */
        MR_GO(mr_write_bytes(rt, t, (first + r) * row, n * row, piece));
    }

fail:
    free(piece);
    return err;
}

int mr_read_rows(mr_runtime *rt, const mr_tensor *t, size_t k, size_t first, size_t rows, void *host)
{
    struct move move;
    MR_TRY(prepare(rt, "mr_read_rows", t, k, first, rows, &move));
    if (!mr_is_weights(t->dtype))
        return mr_read(rt, t, first * k, rows * k, host);
    size_t row = move.blocks * move.format->bytes, most = piece_of(row);
    uint8_t *piece = mr_alloc(most < rows ? most : rows, row);
    if (!piece)
        return MR_ENOMEM;
    int err = 0;
    move.back = true;
    for (size_t r = 0, n; r < rows; r += n) {
        n = rows - r < most ? rows - r : most;
        MR_GO(mr_read_bytes(rt, t, (first + r) * row, n * row, piece));
        move_panels(rt, &move, (uint8_t *)host + r * row, piece, n);
    }

fail:
    free(piece);
    return err;
}
