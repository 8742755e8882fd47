/* SPDX-License-Identifier: GPL-3.0-or-later
 * What many timings say. */
#ifndef MR_BENCH_STATISTICS_H
#define MR_BENCH_STATISTICS_H

#include <stddef.h>

/* The part-quantile (0.5: the median) of n numbers, which are sorted; n at least 1. */
double mr_quantile(double *values, size_t n, double part);

/* The slope of y over x: least squares through the medians of up to 32 runs of neighbours, so that a few slow ones do
 * not tilt it. x rises. 0 where there are fewer than two different places. */
double mr_slope(const double *x, const double *y, size_t n);

/* How much the medians of neighbouring sixteenths of the numbers differ, as a part of their median: the noise of a
 * series, whatever its slope. 0 where there are fewer than 32. */
double mr_noise(const double *y, size_t n);

#endif
