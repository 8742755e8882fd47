/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "bench/models.h"
#include "formats/upload.h"
#include "io/numbers.h"

enum { PIECE = 1 << 16, SEED = 1 };

/* Floats: the piece is copied on the device. */
static int fill_floats(mr_runtime *rt, const mr_tensor *t, const float *piece, size_t n)
{
    MR_TRY(mr_write(rt, t, 0, n, piece));
    for (size_t done = n, more; done < t->count; done += more) {
        more = t->count - done < done ? t->count - done : done;
        MR_TRY(mr_copy(rt, t, 0, t, done, more));
    }
    return 0;
}

/* Another format: some rows are converted once and written over and over. */
static int fill_weights(mr_runtime *rt, const struct mr_param *p, const float *piece, size_t n)
{
    size_t width = p->shape[1], rows = p->count / width, together = rows < MR_ROWS_TOGETHER ? rows : MR_ROWS_TOGETHER;
    enum mr_dtype dtype = mr_dtype_of(p->format);
    float *floats = mr_alloc(together * width, sizeof *floats);
    void *bytes = mr_alloc(together * width, sizeof *floats);
    int err = floats && bytes ? 0 : MR_ENOMEM;
    for (size_t i = 0; !err && i < together * width; i++)
        floats[i] = piece[i % n];
    if (!err)
        mr_from_f32(dtype, floats, bytes, together * width);
    for (size_t first = 0; !err && first < rows; first += together)
        err = mr_write_rows(rt, &p->value, width, first, rows - first < together ? rows - first : together, bytes);
    free(bytes);
    free(floats);
    return err;
}

static void draw_normal(const struct mr_param *p, float *piece, size_t n)
{
    const struct mr_philox draws = {.seed = SEED, .stream = MR_STREAM_INIT, .site = (uint32_t)p->index};
    for (size_t i = 0; i < n; i++)
        piece[i] = (float)(0.02 * mr_philox_normal(&draws, i));
}

int mr_bench_fill(mr_model *model)
{
    float *piece = mr_alloc(PIECE, sizeof *piece);
    int err = piece ? 0 : MR_ENOMEM;
    for (int i = 0; i < model->params.count && !err; i++) {
        const struct mr_param *p = model->params.list[i];
        size_t n = p->count < PIECE ? p->count : PIECE;
        if (p->gain > 0) /* orthogonal ones take long to draw as a whole, and their numbers look like these */
            draw_normal(p, piece, n);
        else
            MR_GO(mr_param_init(&model->params, i, &model->cfg, SEED, 0, n, piece));
        if (mr_is_weights(p->format))
            MR_GO(fill_weights(model->rt, p, piece, n));
        else
            MR_GO(fill_floats(model->rt, &p->value, piece, n));
    }
    err = err ? err : mr_finish(model->rt);
fail:
    free(piece);
    return err;
}
