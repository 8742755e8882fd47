/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/place.h"

#include <stddef.h>

void mr_ref_place_step(const int *positions, const double *wpe, double *y, int rows, int dim, int places, int first)
{
    for (ptrdiff_t i = 0; i < (ptrdiff_t)rows * dim; i++) {
        int position = first + positions[i / dim];
        if (position >= 0 && position < places)
            y[i] += wpe[(ptrdiff_t)position * dim + i % dim];
    }
}
