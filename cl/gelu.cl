/* SPDX-License-Identifier: GPL-3.0-or-later
 * GELU, n floats: x Φ(x) with Φ(x) = (1 + erf(x / √2)) / 2, or its tanh form (Hendrycks and Gimpel,
 * arXiv:1606.08415). */

#define ROOT_HALF 0.70710678118654752f
#define TWICE_ROOT_2_OVER_PI 1.5957691216057308f /* 2 √(2/π) */
#define CUBIC 0.044715f
#define DENSITY 0.39894228040143268f /* 1 / √(2π) */

static inline floatv share(floatv x, int tanh_form) /* Φ(x), in the tanh form as a sigmoid: (1 + tanh z) / 2 = σ(2z) */
{
    return tanh_form ? sigmoid_of(TWICE_ROOT_2_OVER_PI * (x + CUBIC * x * x * x)) : 0.5f + 0.5f * erf(x * ROOT_HALF);
}

/* y = gelu(x); y may be x. */
kernel void gelu_forward(global const float *x, global float *y, int n, int tanh_form)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(x + i, left);
        store_some(v * share(v, tanh_form), y + i, left);
    }
}

/* dx = dy (Φ + x Φ'); dx may be dy or x. */
kernel void gelu_backward(global const float *x, global const float *dy, global float *dx, int n, int tanh_form)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(x + i, left), p = share(v, tanh_form), slope;
        if (tanh_form)
            slope = p * (1.0f - p) * TWICE_ROOT_2_OVER_PI * (1.0f + 3.0f * CUBIC * v * v);
        else
            slope = DENSITY * exp(-0.5f * v * v);
        store_some(load_some(dy + i, left) * (p + v * slope), dx + i, left);
    }
}
