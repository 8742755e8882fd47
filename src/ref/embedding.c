/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/embedding.h"

#include <stddef.h>

void mr_ref_embedding_forward(const int32_t *tokens, const double *wte, const double *wpe, double *y, int B, int T,
                              int C, int V, int pos)
{
    for (int row = 0; row < B * T; row++)
        for (int c = 0; c < C; c++) {
            int32_t token = tokens[row];
            double v = token >= 0 && token < V ? wte[(ptrdiff_t)token * C + c] : 0;
            y[(ptrdiff_t)row * C + c] = v + (wpe ? wpe[(ptrdiff_t)(pos + row % T) * C + c] : 0);
        }
}

void mr_ref_embedding_backward(const int32_t *tokens, const double *dy, double *dwte, double *dwpe, int B, int T, int C,
                               int V)
{
    for (int row = 0; row < B * T; row++)
        for (int c = 0; c < C; c++) {
            double g = dy[(ptrdiff_t)row * C + c];
            if (tokens[row] >= 0 && tokens[row] < V)
                dwte[(ptrdiff_t)tokens[row] * C + c] += g;
            if (dwpe)
                dwpe[(ptrdiff_t)(row % T) * C + c] += g;
        }
}
