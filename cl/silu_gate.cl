/* SPDX-License-Identifier: GPL-3.0-or-later
 * The time mix's gate: y = x * silu(g), silu(g) = g * sigmoid(g), n floats. */

/* y may be x or g. */
kernel void silu_gate_forward(global const float *x, global const float *g, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv gate = load_some(g + i, left);
        store_some(load_some(x + i, left) * gate * sigmoid_of(gate), y + i, left);
    }
}

/* With s = sigmoid(g): dx = dy * g * s, dg = dy * x * s * (1 + g * (1 - s)); each may be an input. */
kernel void silu_gate_backward(global const float *x, global const float *g, global const float *dy, global float *dx,
                               global float *dg, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv gate = load_some(g + i, left), s = sigmoid_of(gate), d = load_some(dy + i, left) * s;
        floatv along = d * load_some(x + i, left) * (1.0f + gate * (1.0f - s));
        store_some(d * gate, dx + i, left);
        store_some(along, dg + i, left);
    }
}
