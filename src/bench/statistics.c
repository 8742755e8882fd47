/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/statistics.h"

#include <stdlib.h>

#include "base/alloc.h"

enum { RUNS = 32, LEAST = 8 /* numbers of a run */ };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double mr_quantile(double *values, size_t n, double part)
{
    qsort(values, n, sizeof *values, by_size);
    double place = part * (double)(n - 1);
    size_t below = (size_t)place;
    if (below + 1 >= n)
        return values[n - 1];
    return values[below] + (place - (double)below) * (values[below + 1] - values[below]);
}

double mr_slope(const double *x, const double *y, size_t n)
{
    double at[RUNS], median[RUNS], mean_x = 0, mean_y = 0, above = 0, below = 0;
    size_t runs = n / LEAST < 2 ? (n < 2 ? n : 2) : n / LEAST < RUNS ? n / LEAST : RUNS;
    double *sorted = mr_alloc(n, sizeof *sorted);
    if (!sorted || runs < 2) {
        free(sorted);
        return 0;
    }
    for (size_t i = 0; i < runs; i++) {
        size_t from = n * i / runs, count = n * (i + 1) / runs - from;
        at[i] = (x[from] + x[from + count - 1]) / 2;
        for (size_t j = 0; j < count; j++)
            sorted[j] = y[from + j];
        median[i] = mr_quantile(sorted, count, 0.5);
        mean_x += at[i] / (double)runs;
        mean_y += median[i] / (double)runs;
    }
    free(sorted);
    for (size_t i = 0; i < runs; i++) {
        above += (at[i] - mean_x) * (median[i] - mean_y);
        below += (at[i] - mean_x) * (at[i] - mean_x);
    }
    return below > 0 ? above / below : 0;
}

double mr_noise(const double *y, size_t n)
{
    enum { PARTS = 16 };
    double medians[PARTS], steps[PARTS];
    double *sorted = n < 2 * PARTS ? NULL : mr_alloc(n / PARTS + 1, sizeof *sorted);
    if (!sorted)
        return 0;
    for (size_t i = 0; i < PARTS; i++) {
        size_t from = n * i / PARTS, count = n * (i + 1) / PARTS - from;
        for (size_t j = 0; j < count; j++)
            sorted[j] = y[from + j];
        medians[i] = mr_quantile(sorted, count, 0.5);
    }
    free(sorted);
    for (int i = 0; i + 1 < PARTS; i++)
        steps[i] = medians[i + 1] > medians[i] ? medians[i + 1] - medians[i] : medians[i] - medians[i + 1];
    double step = mr_quantile(steps, PARTS - 1, 0.5), middle = mr_quantile(medians, PARTS, 0.5);
    return middle > 0 ? step / middle : 0;
}
