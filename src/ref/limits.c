/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/limits.h"

void mr_ref_limits_fma(double *y, size_t items, int vec, int rounds)
{
    for (size_t id = 0; id < items; id++) {
        y[id] = 0;
        for (size_t i = 0; i < 12; i++) {
            double a = (double)(id % 7 + i) * 0.125;
            for (int r = 0; r < rounds; r++)
                a = a * (double)0.999f + (double)0.001f;
            y[id] += a * vec;
        }
    }
}

double mr_ref_limits_read(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}
