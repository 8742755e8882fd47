/* SPDX-License-Identifier: GPL-3.0-or-later
 * RMSNorm without a weight, as MicroRWKV has it: y = x / (|x|_2 / sqrt(dim) + eps). */
#ifndef MR_OPS_RMS_NORM_H
#define MR_OPS_RMS_NORM_H

#include "rt/rt.h"

/* x [rows,dim], y [rows,dim] (not x), rstd [rows] = 1 / (|x| / sqrt(dim) + eps), kept for backward. */
int mr_rms_norm_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *y, const mr_tensor *rstd, int rows,
                        int dim, float eps);

/* dx = (or +=, if accumulate) the gradient of x, from the output y and its gradient dy; dx is neither. */
int mr_rms_norm_backward(mr_runtime *rt, const mr_tensor *y, const mr_tensor *rstd, const mr_tensor *dy,
                         const mr_tensor *dx, int rows, int dim, bool accumulate);

#endif
