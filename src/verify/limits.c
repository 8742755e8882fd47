/* SPDX-License-Identifier: GPL-3.0-or-later
 * The kernels that measure a device's limits. */
#include "base/alloc.h"
#include "ops/limits.h"
#include "ref/limits.h"
#include "verify/cases.h"

#include <stdlib.h>

void mr_case_limits(struct mr_trial *t)
{
    enum { ROUNDS = 100, N = 16 * 101 };
    size_t items = mr_limits_items(t->rt);
    double *x = mr_trial_random(t, N, 1), *want = mr_alloc(items, sizeof *want);
    const mr_tensor *in = mr_trial_floats(t, x, N), *sums = mr_trial_floats(t, NULL, items);
    float *parts = mr_alloc(items, sizeof *parts);
    if (!want || !parts) {
        mr_trial_run(t, MR_ENOMEM);
        goto end;
    }
    mr_trial_run(t, mr_limits_fma(t->rt, sums, ROUNDS));
    mr_ref_limits_fma(want, items, mr_runtime_info(t->rt)->vec, ROUNDS);
    mr_trial_compare(t, sums, want, items);
    mr_trial_run(t, mr_limits_read(t->rt, in, N, sums));
    mr_trial_run(t, t->result < 0 ? 0 : mr_read(t->rt, sums, 0, items, parts));
    double sum = 0;
    for (size_t i = 0; i < items && t->result >= 0; i++)
        sum += (double)parts[i];
    double sum_want = mr_ref_limits_read(x, N);
    mr_trial_compare(t, mr_trial_floats(t, &sum, 1), &sum_want, 1);
end:
    free(want);
    free(parts);
}
