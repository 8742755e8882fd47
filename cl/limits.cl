/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a device can do at most: multiply-adds that wait for nothing but each other, and reading memory once. Every
 * work-item leaves a number, so that no compiler drops its work. */
#define CHAINS 12 /* independent ones: more than the latency of an FMA times the FMAs of a cycle */

/* y [items]: after `rounds` of a <- a 0.999 + 0.001 in CHAINS vectors, their sum */
kernel void limits_fma(global float *restrict y, int rounds)
{
    floatv a[CHAINS];
    int id = (int)get_global_id(0);
    for (int i = 0; i < CHAINS; i++)
        a[i] = (float)(id % 7 + i) * 0.125f;
    for (int r = 0; r < rounds; r++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            a[i] = fma(a[i], (floatv)0.999f, (floatv)0.001f);
    }
    floatv sum = a[0];
    for (int i = 1; i < CHAINS; i++)
        sum += a[i];
    y[id] = sum_of_vector(sum);
}

/* x [vectors * VEC]; y [items]: the sum of each one's share */
kernel void limits_read(global const float *restrict x, global float *restrict y, int vectors)
{
    int id = (int)get_global_id(0), items = (int)get_global_size(0);
    floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
#if LANES == 1
    int i = (int)((long)vectors * id / items), end = (int)((long)vectors * (id + 1) / items), step = 1;
#else
    int i = id, end = vectors, step = items;
#endif
    for (; i + 3 * step < end; i += 4 * step) {
        a += vloadv(i, x);
        b += vloadv(i + step, x);
        c += vloadv(i + 2 * step, x);
        d += vloadv(i + 3 * step, x);
    }
    for (; i < end; i += step)
        a += vloadv(i, x);
    y[id] = sum_of_vector((a + b) + (c + d));
}
