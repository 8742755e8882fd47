/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/cross_entropy.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>

void mr_ref_cross_entropy(const double *logits, const int32_t *targets, double *row_loss, double *dlogits, int rows,
                          int V, double inv_count, double l2wrap)
{
    for (ptrdiff_t row = 0; row < rows; row++) {
        const double *a = logits + row * V;
        int32_t target = targets[row];
        double top = a[0], sum = 0;
        for (int i = 1; i < V; i++)
            top = fmax(top, a[i]);
        for (int i = 0; i < V; i++)
            sum += exp(a[i] - top);
        row_loss[row] = target >= 0 ? top + log(sum) - a[target] : 0;
        bool wraps = true;
        for (int i = 0; dlogits && i < V; i++) {
            double pull = wraps && a[i] == top ? l2wrap * top : 0;
            wraps = wraps && a[i] != top;
            dlogits[row * V + i] = target >= 0 ? (exp(a[i] - top) / sum - (i == target) + pull) * inv_count : 0;
        }
    }
}

double mr_ref_mean_loss(const double *row_loss, int rows, double inv_count)
{
    double sum = 0;
    for (int row = 0; row < rows; row++)
        sum += row_loss[row];
    return sum * inv_count;
}
