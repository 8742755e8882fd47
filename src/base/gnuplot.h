/* SPDX-License-Identifier: GPL-3.0-or-later
 * Pictures by gnuplot, which may be missing. */
#ifndef MR_BASE_GNUPLOT_H
#define MR_BASE_GNUPLOT_H

#include "base/str.h"

/* Runs a script in `folder`, in which it writes each picture as NAME.tmp; those get their names when all are whole.
 * `what` begins the errors ("no loss curve"). MR_ENODEV: there is no gnuplot. */
int mr_gnuplot(const char *folder, const struct mr_str *script, const char *const *pictures, int count,
               const char *what);

#endif
