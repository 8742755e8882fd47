/* SPDX-License-Identifier: GPL-3.0-or-later
 * Sums and products element by element, and the sum over rows that ends the gradients of vectors.
 * No `restrict` where the result may take an operand's place. */
#include "activation.cl"

/* y = a + b, n floats; y may be a or b. */
kernel void add_forward(global const float *a, global const float *b, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(load_some(a + i, left) + load_some(b + i, left), y + i, left);
    }
}

/* y = y + x, n floats */
kernel void accumulate(global const float *restrict x, global float *restrict y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(load_some(y + i, left) + load_some(x + i, left), y + i, left);
    }
}

/* x = s x, n floats */
kernel void scale(global float *restrict x, int n, float s)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(s * load_some(x + i, left), x + i, left);
    }
}

/* y = tanh(x), n floats; y may be x. */
kernel void tanh_forward(global const float *x, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(tanh_of(load_some(x + i, left)), y + i, left);
    }
}

/* y = sigmoid(x), n floats; y may be x. */
kernel void sigmoid_forward(global const float *x, global float *y, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        store_some(sigmoid_of(load_some(x + i, left)), y + i, left);
    }
}

/* Of y = tanh(x): dx = dy (1 - y^2); dx may be dy. */
kernel void tanh_backward(global const float *restrict y, global const float *dy, global float *dx, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(y + i, left);
        store_some(load_some(dy + i, left) * (1.0f - v) * (1.0f + v), dx + i, left);
    }
}

/* Of y = sigmoid(x): dx = dy y (1 - y); dx may be dy. */
kernel void sigmoid_backward(global const float *restrict y, global const float *dy, global float *dx, int n)
{
    FOR_ITEMS(block, VECTORS(n)) {
        int i = block * VEC, left = n - i;
        floatv v = load_some(y + i, left);
        store_some(load_some(dy + i, left) * v * (1.0f - v), dx + i, left);
    }
}

/* y = a * b over rows of C floats; row r of a starts at a_start + r * a_stride. y may be a or b. */
kernel void multiply_forward(global const float *a, int a_start, int a_stride, global const float *b, int b_start,
                             int b_stride, global float *y, int y_start, int y_stride, int rows, int C)
{
    FOR_ROWS(row, rows) {
        global const float *from_a = a + a_start + row * a_stride, *from_b = b + b_start + row * b_stride;
        global float *to = y + y_start + row * y_stride;
        FOR_LANE_VECTORS(i, C)
            store_some(load_some(from_a + i, C - i) * load_some(from_b + i, C - i), to + i, C - i);
    }
}

/* da = dy * b, db = dy * a, rows as above; da may be dy. */
kernel void multiply_backward(global const float *a, int a_start, int a_stride, global const float *b, int b_start,
                              int b_stride, global const float *dy, int dy_start, int dy_stride, global float *da,
                              int da_start, int da_stride, global float *db, int db_start, int db_stride, int rows,
                              int C)
{
    FOR_ROWS(row, rows) {
        global const float *from_a = a + a_start + row * a_stride, *from_b = b + b_start + row * b_stride;
        global const float *from_dy = dy + dy_start + row * dy_stride;
        global float *to_a = da + da_start + row * da_stride, *to_b = db + db_start + row * db_stride;
        FOR_LANE_VECTORS(i, C) {
            floatv g = load_some(from_dy + i, C - i);
            floatv u = load_some(from_a + i, C - i), v = load_some(from_b + i, C - i);
            store_some(g * v, to_a + i, C - i);
            store_some(g * u, to_b + i, C - i);
        }
    }
}

/* y_k[c] += sum over rows of partial[row][k][c], partial [rows,count,C]: group (columns, k), a vector of
 * columns per lane; the rows in their order. */
kernel void sum_rows(global const float *restrict partial, global float *y0, global float *y1, global float *y2,
                     global float *y3, global float *y4, global float *y5, int rows, int count, int C)
{
    int k = (int)get_group_id(1);
    global float *y = k == 0 ? y0 : k == 1 ? y1 : k == 2 ? y2 : k == 3 ? y3 : k == 4 ? y4 : y5;
    if (!y)
        return;
    int step = (int)get_num_groups(0) * LANES * VEC;
    for (int i = (int)get_global_id(0) * VEC; i < C; i += step) {
        floatv sum = 0.0f;
        for (int row = 0; row < rows; row++)
            sum += load_some(partial + (row * count + k) * C + i, C - i);
        store_some(load_some(y + i, C - i) + sum, y + i, C - i);
    }
}
