/* SPDX-License-Identifier: GPL-3.0-or-later
 * Times of kernels, as the public interface gives them. */
#include <stdlib.h>

#include "base/options.h"
#include "microrwkv/microrwkv.h"
#include "rt/rt.h"

int mr_runtime_profile(mr_runtime *rt)
{
    return mr_profile_start(rt);
}

int mr_runtime_times(mr_runtime *rt, struct mr_kernel_time *list, size_t capacity, size_t *count)
{
    struct mr_profile_row *rows = NULL;
    int n = 0, err = 0;
    *count = 0;
    MR_TRY(mr_profile_rows(rt, &rows, &n));
    for (size_t i = 0; i < (size_t)n && i < capacity && !err; i++) {
        struct mr_kernel_time *to = (struct mr_kernel_time *)(void *)((char *)list + i * list->size);
        const struct mr_kernel_time t = {sizeof t,        rows[i].kernel, rows[i].calls,
                                         rows[i].seconds, rows[i].bytes,  rows[i].flops};
        to->size = list->size;
        err = mr_give_result(to, &t, sizeof t, "mr_kernel_time");
    }
    free(rows);
    if (!err)
        *count = (size_t)n;
    return err;
}
