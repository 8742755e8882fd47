/* SPDX-License-Identifier: GPL-3.0-or-later
 * Rotary positions (Su and others, arXiv:2104.09864): the first N numbers of each head's q and k are pairs (i, i + N/2)
 * that turn by position * base^(-2i/N). Rows of H heads, each q, k and v of D numbers, become rows of all q, then all
 * k, then all v. The table [P,N] holds the N/2 cosines and N/2 sines of each position; positions [R] says a row's, or
 * (NULL) it is first + row % T. */
static inline global const float *turns_of(global const int *positions, global const float *table, int row, int first,
                                           int T, int P, int N)
{
    int position = positions ? positions[row] : first + row % T;
    return table + clamp(position, 0, P - 1) * N;
}

/* One of a head's three parts: `turns` NULL for v; sign -1 turns back. */
static inline void turn(global const float *from, global float *to, global const float *turns, float sign, int D, int N)
{
    int half_n = turns ? N / 2 : 0;
    FOR_LANE(i, half_n) {
        float a = from[i], b = from[i + half_n], c = turns[i], s = sign * turns[i + half_n];
        to[i] = a * c - b * s;
        to[i + half_n] = b * c + a * s;
    }
    for (int i = 2 * half_n + LANE; i < D; i += LANES)
        to[i] = from[i];
}

/* y [R,3,H,D] from x [R,H,3,D] */
kernel void rotary_forward(global const float *restrict x, global const int *restrict positions,
                           global const float *restrict table, global float *restrict y, int R, int H, int D, int N,
                           int first, int T, int P)
{
    FOR_ROWS(unit, R * H * 3) {
        int part = unit % 3, head = unit / 3 % H, row = unit / 3 / H;
        global const float *turns = turns_of(positions, table, row, first, T, P, N);
        turn(x + unit * D, y + ((row * 3 + part) * H + head) * D, part < 2 ? turns : 0, 1.0f, D, N);
    }
}

/* dx [R,H,3,D] from dy [R,3,H,D], of texts of T positions from 0 on */
kernel void rotary_backward(global const float *restrict dy, global const float *restrict table,
                            global float *restrict dx, int R, int H, int D, int N, int T, int P)
{
    FOR_ROWS(unit, R * H * 3) {
        int part = unit % 3, head = unit / 3 % H, row = unit / 3 / H;
        global const float *turns = turns_of(0, table, row, 0, T, P, N);
        turn(dy + ((row * 3 + part) * H + head) * D, dx + unit * D, part < 2 ? turns : 0, -1.0f, D, N);
    }
}
