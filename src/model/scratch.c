/* SPDX-License-Identifier: GPL-3.0-or-later
 * The scratch that the runtime takes for a model's matrix products. */
#include "model/workspace.h"
#include "rt/gemm.h"

static int most_of(mr_runtime *rt, const struct mr_gemm *g, size_t *most)
{
    size_t bytes;
    MR_TRY(mr_gemm_scratch(rt, g, &bytes));
    *most = bytes > *most ? bytes : *most;
    return 0;
}

int mr_plan_products(mr_plan *plan, const struct mr_params *params, mr_runtime *rt, int rows, bool training)
{
    size_t most = 0;
    for (int i = 0; i < params->count; i++) {
        const struct mr_param *p = params->list[i];
        if (!p->matrix)
            continue;
        int out = (int)p->shape[0], in = (int)p->shape[1];
        const struct mr_gemm forward = {.m = rows, .n = out, .k = in, .trans_b = true, .format = p->format};
        MR_TRY(most_of(rt, &forward, &most));
        if (!training)
            continue;
        const struct mr_gemm input = {.m = rows, .n = in, .k = out, .format = p->format};
        const struct mr_gemm weight = {.m = out, .n = in, .k = rows, .trans_a = true, .beta = 1};
        MR_TRY(most_of(rt, &input, &most));
        MR_TRY(most_of(rt, &weight, &most));
    }
    mr_plan_count(plan, MR_SCRATCH, most);
    return 0;
}
