/* SPDX-License-Identifier: GPL-3.0-or-later
 * What an MLP computes of its n inner floats: GELU, x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, its tanh form and its
 * quick form x σ(1.702 x) (Hendrycks and Gimpel, arXiv:1606.08415), or ReLU: `activation` of activation.cl. */

#include "activation.cl"

#define DENSITY 0.39894228040143268f /* 1 / √(2π) */

/* y = act(x); y may be x. */
kernel void gelu_forward(global const float *x, global float *y, int n, int activation)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(activate(load_some(x + i, left), activation), y + i, left);
    }
}

/* act'(v); of a form v p(v) it is p + v p' */
static inline floatv slope_of(floatv v, int activation)
{
    floatv p;
    switch (activation) {
    case RELU:
        return v > 0.0f ? (floatv)1.0f : (floatv)0.0f;
    case GELU_QUICK:
        p = sigmoid_of(QUICK * v);
        return p + v * (p * (1.0f - p) * QUICK);
    case GELU_TANH:
        p = gelu_share(v, 1);
        return p + v * (p * (1.0f - p) * TWICE_ROOT_2_OVER_PI * (1.0f + 3.0f * CUBIC * v * v));
    default:
        return gelu_share(v, 0) + v * (DENSITY * exp(-0.5f * v * v));
    }
}

/* dx = dy act'(x); dx may be dy or x. */
kernel void gelu_backward(global const float *x, global const float *dy, global float *dx, int n, int activation)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv slope = slope_of(load_some(x + i, left), activation);
        store_some(load_some(dy + i, left) * slope, dx + i, left);
    }
}
