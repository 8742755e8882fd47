/* SPDX-License-Identifier: GPL-3.0-or-later
 * Rows of a table by token, plus rows of another by position. R = B*T rows of C floats. */

#include "unpack.cl"

/* y[b*T+t] = wte[tokens[b*T+t]] + wpe[pos+t]; wte [V,C] in any format, wpe [P,C] or NULL. A token outside 0..V-1 counts
 * as a row of zeros, so that no input reads outside the table. */
kernel void embedding_forward(global const int *restrict tokens, global const uchar *restrict wte,
                              global const float *restrict wpe, global float *restrict y, int R, int T, int C, int V,
                              int pos)
{
    FOR_ROWS(row, R) {
        int token = tokens[row];
        int known = token >= 0 && token < V;
#if FORMAT == F32
        global const float *from = (global const float *)wte + (known ? token : 0) * C;
#endif
        global const float *place = wpe ? wpe + (pos + row % T) * C : 0;
        global float *to = y + row * C;
        FOR_LANE_VECTORS(i, C) {
#if FORMAT == F32
            floatv v = known ? load_some(from + i, C - i) : 0.0f;
#else
            float row[VEC];
            for (int c = 0; c < VEC; c++)
                row[c] = known && i + c < C ? weight_at(wte, V, C, token, i + c) : 0.0f;
            floatv v = vloadv(0, row);
#endif
            if (wpe)
                v += load_some(place + i, C - i);
            store_some(v, to + i, C - i);
        }
    }
}

/* dwte[token] += the sum of dy over the rows of each distinct token: order[first[u]..first[u+1]-1] are the
 * rows of the u-th. Group (share of the tokens, some columns); rows in their order, one writer a number. */
kernel void embedding_backward(global const int *restrict order, global const int *restrict first,
                               global const int *restrict tokens, global const float *restrict dy,
                               global float *restrict dwte, int unique, int C, int V)
{
    int step = (int)get_num_groups(1) * LANES * VEC;
    int start = ((int)get_group_id(1) * LANES + LANE) * VEC;
    for (int u = (int)get_group_id(0); u < unique; u += (int)get_num_groups(0)) {
        int begin = first[u], end = first[u + 1], token = tokens[order[begin]];
        if (token < 0 || token >= V)
            continue;
        for (int i = start; i < C; i += step) {
            floatv sum = load_some(dwte + token * C + i, C - i);
            for (int k = begin; k < end; k++)
                sum += load_some(dy + order[k] * C + i, C - i);
            store_some(sum, dwte + token * C + i, C - i);
        }
    }
}

/* dwpe[pos+t] += sum over b of dy[b,t]; dy [B,T,C], dwpe [P >= pos+T,C] */
kernel void position_backward(global const float *restrict dy, global float *restrict dwpe, int B, int T, int C,
                              int pos)
{
    dwpe += pos * C;
    FOR_ROWS(t, T) {
        FOR_LANE_VECTORS(i, C) {
            floatv sum = load_some(dwpe + t * C + i, C - i);
            for (int b = 0; b < B; b++)
                sum += load_some(dy + (b * T + t) * C + i, C - i);
            store_some(sum, dwpe + t * C + i, C - i);
        }
    }
}
