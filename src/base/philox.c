/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/philox.h"

#include <math.h>

void mr_philox_block(const struct mr_philox *p, uint64_t block, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)block;
    uint32_t c1 = (uint32_t)(block >> 32) ^ p->site << 8 ^ p->stream << 28;
    uint32_t c2 = (uint32_t)p->step, c3 = (uint32_t)(p->step >> 32);
    uint32_t k0 = (uint32_t)p->seed, k1 = (uint32_t)(p->seed >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t mr_philox_u32(const struct mr_philox *p, uint64_t element)
{
    uint32_t word[4];
    mr_philox_block(p, element / 4, word);
    return word[element % 4];
}

float mr_philox_uniform(const struct mr_philox *p, uint64_t element)
{
    return (float)(mr_philox_u32(p, element) >> 8) * 0x1p-24f;
}

double mr_philox_normal(const struct mr_philox *p, uint64_t element)
{
    uint32_t w[4];
    mr_philox_block(p, element, w);
    double u = ((double)w[0] + (w[1] >> 12) * 0x1p-20 + 0x1p-21) * 0x1p-32; /* in (0, 1) */
    double v = ((double)w[2] + (w[3] >> 12) * 0x1p-20) * 0x1p-32;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t mr_philox_below(const struct mr_philox *p, uint64_t element, uint64_t n)
{
    uint32_t w[4];
    mr_philox_block(p, element, w);
    return (uint64_t)((unsigned __int128)((uint64_t)w[0] << 32 | w[1]) * n >> 64);
}
