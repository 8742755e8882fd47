/* SPDX-License-Identifier: GPL-3.0-or-later
 * Learned positions of the rows of a decoding step, each row at its own position in its text. */

/* y [R,C] += wpe [P,C] [first + positions [R]]; a row outside 0..P-1 adds nothing, so that none reads outside. */
kernel void place_step(global const int *restrict positions, global const float *restrict wpe, global float *restrict y,
                       int R, int C, int P, int first)
{
    FOR_ROWS(row, R) {
        int position = first + positions[row];
        if (position < 0 || position >= P)
            continue;
        FOR_LANE_VECTORS(i, C)
            store_some(load_some(y + row * C + i, C - i) + load_some(wpe + position * C + i, C - i), y + row * C + i,
                       C - i);
    }
}
