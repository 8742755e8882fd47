/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/top.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/alloc.h"

struct number {
    double value;
    int place;
};

static int by_rank(const void *a, const void *b)
{
    const struct number *p = a, *q = b;
    return p->value != q->value ? (p->value < q->value) - (p->value > q->value)
                                : (p->place > q->place) - (p->place < q->place);
}

void mr_ref_top(const double *x, int *places, int rows, int n, int k)
{
    struct number *all = mr_alloc((size_t)n, sizeof *all);
    for (ptrdiff_t row = 0; row < rows && all; row++) {
        for (int i = 0; i < n; i++)
            all[i] = (struct number){x[row * n + i], i};
        qsort(all, (size_t)n, sizeof *all, by_rank);
        for (int i = 0; i < k; i++)
            places[row * k + i] = all[i].place;
    }
    free(all);
}
