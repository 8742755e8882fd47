/* SPDX-License-Identifier: GPL-3.0-or-later
 * The element-wise parts of the channel mix, n floats each: relu(x)^2 and the gate sigmoid(r) * v. */

/* y = relu(x)^2; y may be x. */
kernel void squared_relu_forward(global const float *x, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = fmax(load_some(x + i, left), 0.0f);
        store_some(v * v, y + i, left);
    }
}

/* dx = dy * 2 relu(x); dx may be dy or x. */
kernel void squared_relu_backward(global const float *x, global const float *dy, global float *dx, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(load_some(dy + i, left) * 2.0f * fmax(load_some(x + i, left), 0.0f), dx + i, left);
    }
}

/* y = sigmoid(r) * v; y may be r or v. */
kernel void sigmoid_gate_forward(global const float *r, global const float *v, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(sigmoid_of(load_some(r + i, left)) * load_some(v + i, left), y + i, left);
    }
}

/* With s = sigmoid(r): dr = dy * v * s * (1 - s), dv = dy * s; each may be any of the inputs. */
kernel void sigmoid_gate_backward(global const float *r, global const float *v, global const float *dy,
                                  global float *dr, global float *dv, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv s = sigmoid_of(load_some(r + i, left)), g = load_some(dy + i, left) * s;
        floatv along = g * load_some(v + i, left) * (1.0f - s);
        store_some(along, dr + i, left);
        store_some(g, dv + i, left);
    }
}
