/* SPDX-License-Identifier: GPL-3.0-or-later
 * Stored numbers times a power of two: exact for all but the largest and smallest, also in blocks, where only their
 * scales change. */
#include <math.h>
#include <string.h>

#include "io/numbers.h"

/* Where a block has its scales: f16 numbers, one behind the other. */
static const struct {
    uint8_t at, count;
} scales[MR_DTYPES] = {
    [MR_DTYPE_F16] = {0, 1},  [MR_DTYPE_Q4_0] = {0, 1}, [MR_DTYPE_Q4_1] = {0, 2},   [MR_DTYPE_Q5_0] = {0, 1},
    [MR_DTYPE_Q5_1] = {0, 2}, [MR_DTYPE_Q8_0] = {0, 1}, [MR_DTYPE_Q2_K] = {80, 2},  [MR_DTYPE_Q3_K] = {108, 1},
    [MR_DTYPE_Q4_K] = {0, 2}, [MR_DTYPE_Q5_K] = {0, 2}, [MR_DTYPE_Q6_K] = {208, 1},
};

void mr_shift_numbers(enum mr_dtype dtype, uint8_t *stored, size_t blocks, int exponent)
{
    size_t bytes = mr_dtype_block_bytes(dtype);
    float factor = ldexpf(1, exponent), x;
    for (size_t i = 0; i < blocks; i++, stored += bytes) {
        if (dtype == MR_DTYPE_F32 || dtype == MR_DTYPE_Q8_K) {
            memcpy(&x, stored, 4);
            x *= factor;
            memcpy(stored, &x, 4);
        } else if (dtype == MR_DTYPE_BF16) {
            uint16_t h;
            memcpy(&h, stored, 2);
            h = mr_f32_to_bf16(mr_bf16_to_f32(h) * factor);
            memcpy(stored, &h, 2);
        }
        for (int k = 0; k < scales[dtype].count; k++) {
            uint16_t h;
            memcpy(&h, stored + scales[dtype].at + 2 * k, 2);
            h = mr_f32_to_f16(mr_f16_to_f32(h) * factor);
            memcpy(stored + scales[dtype].at + 2 * k, &h, 2);
        }
    }
}
