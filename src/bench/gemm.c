/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/gemm.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "bench/statistics.h"
#include "model/layer.h"
#include "model/model.h"

int mr_shapes_add_one(struct mr_shapes *s, const struct mr_gemm *g)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->list[i].m == g->m && s->list[i].n == g->n && s->list[i].k == g->k && s->list[i].trans_a == g->trans_a &&
            s->list[i].trans_b == g->trans_b)
            return 0;
    MR_TRY(mr_grow(&s->list, &s->capacity, s->count + 1, sizeof *s->list));
    s->list[s->count++] = *g;
    return 0;
}

int mr_shapes_add(struct mr_shapes *s, const struct mr_config *cfg, int rows)
{
    const struct mr_family *family = mr_family(cfg);
    struct mr_params params = {0};
    int err;
    MR_GO(mr_model_declare(&params, cfg));
    for (int i = 0; i < params.count; i++) {
        const struct mr_param *p = params.list[i];
        int out = (int)p->shape[0], in = (int)p->shape[1];
        bool looked_up = mr_head_name(cfg) && !strcmp(p->name, family->embedding); /* and multiplied with nothing */
        if (!p->matrix || p->ndim != 2 || looked_up)
            continue;
        MR_GO(mr_shapes_add_one(s, &(struct mr_gemm){.m = rows, .n = out, .k = in, .trans_b = true}));
        if (!mr_model_trainable(cfg))
            continue;
        MR_GO(mr_shapes_add_one(s, &(struct mr_gemm){.m = rows, .n = in, .k = out}));
        MR_GO(mr_shapes_add_one(s, &(struct mr_gemm){.m = out, .n = in, .k = rows, .trans_a = true}));
    }
fail:
    mr_params_free(&params);
    return err;
}

void mr_shapes_free(struct mr_shapes *s)
{
    free(s->list);
    *s = (struct mr_shapes){0};
}

/* Small numbers, so that nothing is slow because it is none. */
static int fill(mr_runtime *rt, const mr_tensor *t)
{
    enum { PIECE = 4096 };
    float piece[PIECE];
    size_t done = t->count < PIECE ? t->count : PIECE;
    for (int i = 0; i < PIECE; i++)
        piece[i] = 0.01f * (float)(i * 37 % 101 - 50);
    MR_TRY(mr_write(rt, t, 0, done, piece));
    for (size_t n; done < t->count; done += n) {
        n = t->count - done < done ? t->count - done : done;
        MR_TRY(mr_copy(rt, t, 0, t, done, n));
    }
    return 0;
}

static int repeat(mr_runtime *rt, const struct mr_gemm *g, const mr_tensor tensors[3], double seconds, double *gflops,
                  double *noise)
{
    enum { LEAST = 3, MOST = 200 };
    double times[MOST], began;
    size_t runs = 0;
    MR_TRY(mr_gemm(rt, g, &tensors[0], &tensors[1], &tensors[2])); /* compiled */
    MR_TRY(mr_finish(rt));
    began = mr_now();
    while (runs < MOST && (runs < LEAST || mr_now() - began < seconds)) {
        double from = mr_now();
        MR_TRY(mr_gemm(rt, g, &tensors[0], &tensors[1], &tensors[2]));
        MR_TRY(mr_finish(rt));
        times[runs++] = mr_now() - from;
    }
    double median = mr_quantile(times, runs, 0.5);
    *gflops = 2e-9 * g->m * g->n * g->k / times[0]; /* sorted */
    *noise = median / times[0] - 1;
    return 0;
}

int mr_gemm_time(mr_runtime *rt, const struct mr_gemm *g, double seconds, double *gflops, double *noise)
{
    const size_t counts[] = {(size_t)g->m * (size_t)g->k, (size_t)g->k * (size_t)g->n, (size_t)g->m * (size_t)g->n};
    mr_tensor tensors[3] = {{0}};
    int err = 0;
    for (int i = 0; i < 3; i++) {
        MR_GO(mr_tensor_alloc(rt, &tensors[i], MR_F32, counts[i]));
        MR_GO(fill(rt, &tensors[i]));
    }
    err = repeat(rt, g, tensors, seconds, gflops, noise);
fail:
    for (int i = 0; i < 3; i++)
        mr_tensor_free(rt, &tensors[i]);
    return err;
}
