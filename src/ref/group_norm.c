/* SPDX-License-Identifier: GPL-3.0-or-later
 * A head of a row is a row of LayerNorm with the head's piece of weight and bias. */
#include "ref/group_norm.h"

#include <stddef.h>

#include "ref/layer_norm.h"

void mr_ref_group_norm_forward(const double *x, const double *weight, const double *bias, double *y, double *mean,
                               double *rstd, int rows, int heads, int width, double eps)
{
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t h = 0; h < heads; h++) {
            ptrdiff_t unit = row * heads + h;
            mr_ref_layer_norm_forward(x + unit * width, weight + h * width, bias + h * width, y + unit * width,
                                      mean + unit, rstd + unit, 1, width, eps);
        }
}

void mr_ref_group_norm_backward(const double *x, const double *weight, const double *mean, const double *rstd,
                                const double *dy, double *dx, double *dweight, double *dbias, int rows, int heads,
                                int width)
{
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t h = 0; h < heads; h++) {
            ptrdiff_t unit = row * heads + h;
            mr_ref_layer_norm_backward(x + unit * width, weight + h * width, mean + unit, rstd + unit,
                                       dy + unit * width, dx + unit * width, dweight + h * width, dbias + h * width, 1,
                                       width);
        }
}
