/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the matrix products leave of a linear layer's backward: the bias's gradient, sums of dy's columns. */

/* partial[group][j] = sum of dy[row][j] over the group's rows; dy's rows of `out` floats lie ld apart. Ended by
 * sum_rows. */
kernel void linear_bias_backward(global const float *restrict dy, global float *restrict partial, ulong offset,
                                 int rows, int out, int ld)
{
    int first = (int)((long)rows * (long)get_group_id(0) / (long)get_num_groups(0));
    int end = (int)((long)rows * ((long)get_group_id(0) + 1) / (long)get_num_groups(0));
    global float *to = partial + (int)get_group_id(0) * out;
    dy += offset;
    FOR_LANE_VECTORS(j, out) {
        floatv sum = 0.0f;
        for (int row = first; row < end; row++)
            sum += load_some(dy + row * ld + j, out - j);
        store_some(sum, to + j, out - j);
    }
}
