/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/layer.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "model/lora.h"
#include "model/workspace.h"
#include "ops/linear.h"

int mr_keep(struct mr_planner *planner, mr_tensor *where, size_t count)
{
    return mr_plan_add(planner->plan, planner->kept, where, MR_F32, count);
}

int mr_scratch(struct mr_planner *planner, mr_tensor *where, size_t count)
{
    return count ? mr_plan_add(planner->plan, MR_SCRATCH, where, MR_F32, count) : 0;
}

static int share(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count, bool gradient)
{
    enum mr_memory kind = planner->training && !gradient ? MR_ACTIVATIONS : MR_BUFFERS;
    mr_workspace *ws = planner->ws;
    struct mr_shared_tensor **last = &ws->shared;
    while (*last && strcmp((*last)->name, name) != 0)
        last = &(*last)->next;
    if (!*last) {
        *last = mr_alloc(1, sizeof **last);
        if (!*last)
            return MR_ENOMEM;
        (*last)->name = name;
        (*last)->count = count;
        (*last)->gradient = gradient;
        MR_TRY(mr_plan_add(planner->plan, kind, &(*last)->tensor, MR_F32, count));
    }
    if ((*last)->count != count)
        return mr_fail(MR_EINVAL, "two layers declare the shared tensor %s with %zu and %zu elements", name,
                       (*last)->count, count);
    *where = &(*last)->tensor;
    return 0;
}

int mr_shared(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count)
{
    return share(planner, where, name, count, false);
}

int mr_shared_gradient(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count)
{
    return share(planner, where, name, count, true);
}

int mr_sink(struct mr_planner *planner, const struct mr_param *p)
{
    return p->frozen ? mr_scratch(planner, &planner->ws->sinks[p->index], p->count) : 0;
}

int mr_norm_declare(struct mr_params *params, const char *prefix, int dim, bool bias)
{
    struct mr_param *weight = mr_declare(params, prefix, "weight", mr_shape((size_t)dim));
    if (!weight || (bias && !mr_declare(params, prefix, "bias", mr_shape((size_t)dim))))
        return params->error;
    weight->fill = 1;
    return 0;
}

int mr_linear_declare(struct mr_params *params, const char *prefix, const char *name, int out, int in, bool bias,
                      double std)
{
    char full[MR_NAME];
    snprintf(full, sizeof full, "%s.weight", name);
    struct mr_param *p = mr_declare(params, prefix, full, mr_shape((size_t)out, (size_t)in));
    if (!p)
        return params->error;
    p->std = std;
    p->matrix = p->decay = p->linear = true;
    if (!bias)
        return 0;
    snprintf(full, sizeof full, "%s.bias", name);
    return mr_declare(params, prefix, full, mr_shape((size_t)out)) ? 0 : params->error;
}

void mr_without_adapter(struct mr_params *params, const char *prefix, const char *name)
{
    char full[MR_NAME];
    snprintf(full, sizeof full, "%s.weight", name);
    mr_param_find(params, prefix, full)->linear = false;
}

int mr_linear_find(struct mr_linear *linear, const struct mr_params *params, const char *prefix, const char *name)
{
    char full[MR_NAME];
    snprintf(full, sizeof full, "%s.weight", name);
    linear->weight = mr_param_find(params, prefix, full);
    if (!linear->weight)
        return mr_fail(MR_EINVAL, "parameter %s%s is missing", prefix, full);
    snprintf(full, sizeof full, "%s.bias", name);
    linear->bias = mr_param_find(params, prefix, full);
    linear->out = (int)linear->weight->shape[0];
    linear->in = (int)linear->weight->shape[1];
    return 0;
}

int mr_linear_run(mr_workspace *ws, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *y)
{
    MR_TRY(mr_linear_forward(ws->rt, x, &linear->weight->value, linear->bias ? &linear->bias->value : NULL, y, ws->rows,
                             linear->in, linear->out));
    return linear->weight->lora.a ? mr_lora_forward(ws, linear->weight, x, y) : 0;
}

int mr_linear_backward(mr_workspace *ws, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *dy,
                       const mr_tensor *dx, bool accumulate)
{
    if (dx)
        MR_TRY(mr_linear_backward_input(ws->rt, dy, &linear->weight->value, dx, ws->rows, linear->in, linear->out,
                                        accumulate));
    if (linear->weight->lora.a)
        MR_TRY(mr_lora_backward(ws, linear->weight, x, dy, dx));
    const mr_tensor *dbias = mr_trained(linear->bias) ? mr_grad(ws, linear->bias) : NULL;
    if (mr_trained(linear->weight))
        return mr_linear_backward_weight(ws->rt, x, dy, mr_grad(ws, linear->weight), dbias, &ws->reduce, ws->rows,
                                         linear->in, linear->out);
    return dbias ? mr_bias_backward(ws->rt, dy, dbias, &ws->reduce, ws->rows, linear->out) : 0;
}
