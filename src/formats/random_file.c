/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/random_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/threads.h"
#include "model/model.h"

#define PIECE ((size_t)1 << 14) /* numbers that a core draws at a time */

struct random_file {
    mr_tensor_file base;
    struct mr_params params;
    struct mr_config cfg;
    uint64_t seed;
};

struct range {
    const struct random_file *file;
    int index;
    size_t first, count;
    float *to;
};

static int draw(void *context, size_t i)
{
    const struct range *r = context;
    size_t at = i * PIECE, n = r->count - at < PIECE ? r->count - at : PIECE;
    return mr_param_init(&r->file->params, r->index, &r->file->cfg, r->file->seed, r->first + at, n, r->to + at);
}

static int read_bytes(mr_tensor_file *base, size_t i, uint64_t offset, size_t size, void *to)
{
    struct random_file *file = (struct random_file *)base;
    struct range r = {.file = file, .index = (int)i, .first = offset / sizeof(float), .count = size / sizeof(float)};
    if (offset % sizeof(float) || size % sizeof(float))
        return mr_fail(MR_EINVAL, "%s: only whole numbers can be drawn", base->path);
    if (!(r.to = mr_alloc(r.count, sizeof *r.to)))
        return MR_ENOMEM;
    int err = mr_param_draw(&file->params, (int)i, file->seed);
    if (!err)
        err = mr_parallel_for((r.count + PIECE - 1) / PIECE, draw, &r);
    if (!err)
        memcpy(to, r.to, size);
    free(r.to);
    return err;
}

static void close_file(mr_tensor_file *base)
{
    mr_params_free(&((struct random_file *)base)->params);
}

static const struct mr_tensor_file_format format = {"random", read_bytes, close_file};

int mr_random_open(mr_tensor_file **result, const struct mr_config *cfg, uint64_t seed, struct mr_naming *naming)
{
    mr_tensor_file *base;
    int err;
    MR_TRY(mr_tensor_file_create(&base, sizeof(struct random_file), &format, mr_family_name(cfg->family)));
    struct random_file *file = (struct random_file *)base;
    file->cfg = *cfg;
    file->seed = seed;
    *naming = (struct mr_naming){.layout = MR_LAYOUT_OWN, .rules = mr_layout_rules(MR_LAYOUT_OWN, cfg)};
    MR_GO(mr_model_declare(&file->params, cfg));
    for (int i = 0; i < file->params.count; i++) {
        const struct mr_param *p = file->params.list[i];
        int64_t shape[4];
        for (int d = 0; d < p->ndim; d++)
            shape[d] = (int64_t)p->shape[d];
        MR_GO(mr_tensor_file_add(base, p->name, strlen(p->name), MR_DTYPE_F32, p->ndim, shape, 0));
    }
    *result = base;
    return 0;
fail:
    mr_tensor_file_close(base);
    return err;
}
