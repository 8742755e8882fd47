/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/expert_linear.h"

void mr_ref_expert_linear_forward(const double *x, const int *choice, const double *w, const double *b, double *o,
                                  int rows, int active, int in, int out)
{
    for (int i = 0; i < rows * active; i++) {
        for (int d = 0; d < out; d++) {
            const double *u = x + i / active * in, *v = w + (choice[i] * out + d) * in;
            o[i * out + d] = b[choice[i] * out + d];
            for (int c = 0; c < in; c++)
                o[i * out + d] += u[c] * v[c];
        }
    }
}

void mr_ref_expert_linear_backward_input(const double *d_o, const int *choice, const double *w, double *dx, int rows,
                                         int active, int in, int out)
{
    for (int i = 0; i < rows * in; i++)
        dx[i] = 0;
    for (int i = 0; i < rows * active; i++)
        for (int d = 0; d < out; d++)
            for (int c = 0; c < in; c++)
                dx[i / active * in + c] += d_o[i * out + d] * w[(choice[i] * out + d) * in + c];
}

void mr_ref_expert_linear_backward_weight(const double *x, const double *d_o, const int *choice, double *dw, double *db,
                                          int rows, int active, int in, int out)
{
    for (int i = 0; i < rows * active; i++) {
        for (int d = 0; d < out; d++) {
            db[choice[i] * out + d] += d_o[i * out + d];
            for (int c = 0; c < in; c++)
                dw[(choice[i] * out + d) * in + c] += d_o[i * out + d] * x[i / active * in + c];
        }
    }
}
