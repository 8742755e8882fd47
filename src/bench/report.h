/* SPDX-License-Identifier: GPL-3.0-or-later
 * Results as one page of HTML with everything inside. */
#ifndef MR_BENCH_REPORT_H
#define MR_BENCH_REPORT_H

#include "bench/results.h"

/* Pictures are left out, with a warning, where there is no gnuplot. */
int mr_report(const struct mr_results *results, const char *path);

#endif
