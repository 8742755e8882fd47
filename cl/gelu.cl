/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU, n floats: x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, or its tanh form (Hendrycks and Gimpel,
 * arXiv:1606.08415). */

#include "activation.cl"

#define DENSITY 0.39894228040143268f /* 1 / √(2π) */

/* y = gelu(x); y may be x. */
kernel void gelu_forward(global const float *x, global float *y, int n, int tanh_form)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(x + i, left);
        store_some(v * gelu_share(v, tanh_form), y + i, left);
    }
}

/* dx = dy (Φ + x Φ'); dx may be dy or x. */
kernel void gelu_backward(global const float *x, global const float *dy, global float *dx, int n, int tanh_form)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(x + i, left), p = gelu_share(v, tanh_form), slope;
        if (tanh_form)
            slope = p * (1.0f - p) * TWICE_ROOT_2_OVER_PI * (1.0f + 3.0f * CUBIC * v * v);
        else
            slope = DENSITY * exp(-0.5f * v * v);
        store_some(load_some(dy + i, left) * (p + v * slope), dx + i, left);
    }
}
