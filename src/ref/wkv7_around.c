/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/wkv7_around.h"

#include <math.h>
#include <stddef.h>

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* The key's way to kappa = u / |u|, u = k k_k, of the head whose numbers begin at `at`. */
static void kappa_backward(const struct mr_ref_wkv7_inputs *x, const struct mr_ref_wkv7_inputs_gradients *g,
                           ptrdiff_t at)
{
    ptrdiff_t dim = (ptrdiff_t)x->heads * x->width, end = at + x->width;
    double squares = 0, product = 0;
    for (ptrdiff_t i = at; i < end; i++) {
        double u = x->k[i] * x->k_k[i % dim];
        squares += u * u;
        product += u * (g->dkappa[i] + g->da[i] * sigmoid(x->a[i]));
    }
    double length = fmax(sqrt(squares), 1e-12);
    for (ptrdiff_t i = at; i < end; i++) {
        double rate = sigmoid(x->a[i]), u = x->k[i] * x->k_k[i % dim], d = g->dkappa[i] + g->da[i] * rate;
        double du = sqrt(squares) > 1e-12 ? d / length - u * product / (length * length * length) : d / length;
        double dkey = g->dk[i], k_a = x->k_a[i % dim];
        g->da[i] = (g->da[i] * u / length + dkey * x->k[i] * k_a) * rate * (1 - rate);
        g->dk[i] = dkey * (1 + (rate - 1) * k_a) + du * x->k_k[i % dim];
        g->dk_k[i % dim] += du * x->k[i];
        g->dk_a[i % dim] += dkey * x->k[i] * (rate - 1);
    }
}

void mr_ref_wkv7_inputs_backward(const struct mr_ref_wkv7_inputs *x, const struct mr_ref_wkv7_inputs_gradients *g)
{
    ptrdiff_t n = (ptrdiff_t)x->rows * x->heads * x->width;
    for (ptrdiff_t at = 0; at < n; at += x->width)
        kappa_backward(x, g, at);
    for (ptrdiff_t i = 0; i < n; i++) {
        double s = sigmoid(x->w[i]);
        g->dw[i] *= -exp(-0.5) * exp(-exp(-0.5) * s) * s * (1 - s);
        if (x->v_first) {
            s = sigmoid(x->share[i]);
            g->dshare[i] = g->dv[i] * (x->v_first[i] - x->v[i]) * s * (1 - s);
            g->dv_first[i] += g->dv[i] * s;
            g->dv[i] *= 1 - s;
        }
    }
}

void mr_ref_wkv7_output_backward(const struct mr_ref_wkv7_output *x, const struct mr_ref_wkv7_output_gradients *g)
{
    ptrdiff_t dim = (ptrdiff_t)x->heads * x->width;
    for (ptrdiff_t at = 0; at < x->rows * dim; at += x->width) {
        double again = 0, dagain = 0;
        for (ptrdiff_t i = at; i < at + x->width; i++) {
            again += x->r[i] * x->k[i] * x->bonus[i % dim];
            dagain += g->dy[i] * x->g[i] * x->v[i];
        }
        for (ptrdiff_t i = at; i < at + x->width; i++) {
            g->dx[i] = g->dy[i] * x->g[i];
            g->dv[i] = g->dy[i] * x->g[i] * again;
            g->dg[i] = g->dy[i] * (x->x[i] + again * x->v[i]);
            g->dr[i] = dagain * x->k[i] * x->bonus[i % dim];
            g->dk[i] = dagain * x->r[i] * x->bonus[i % dim];
            g->dbonus[i % dim] += dagain * x->r[i] * x->k[i];
        }
    }
}
