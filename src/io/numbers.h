/* SPDX-License-Identifier: GPL-3.0-or-later
 * The number formats that weights are stored in, and their conversion to float and back. */
#ifndef MR_IO_NUMBERS_H
#define MR_IO_NUMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mr_dtype {
    MR_DTYPE_F32,
    MR_DTYPE_F16,
    MR_DTYPE_BF16,
    MR_DTYPE_F64,
    MR_DTYPE_I64,
    MR_DTYPE_I32,
    MR_DTYPE_I16,
    MR_DTYPE_I8,
    MR_DTYPE_U16,
    MR_DTYPE_U8,
    MR_DTYPE_BOOL,
    MR_DTYPE_Q4_0, /* from here on: blocks of 32 along a row */
    MR_DTYPE_Q4_1,
    MR_DTYPE_Q5_0,
    MR_DTYPE_Q5_1,
    MR_DTYPE_Q8_0,
    MR_DTYPE_Q2_K, /* from here on: blocks of 256, which can be read only */
    MR_DTYPE_Q3_K,
    MR_DTYPE_Q4_K,
    MR_DTYPE_Q5_K,
    MR_DTYPE_Q6_K,
    MR_DTYPE_Q8_K,
    MR_DTYPES
};

/* "f32", "bf16", "q5_1", ...; and back, where -1 means no such name. */
const char *mr_dtype_name(enum mr_dtype dtype);
int mr_dtype_from_name(const char *name);

/* Whether floats can be turned into it. */
static inline bool mr_dtype_writes(enum mr_dtype dtype)
{
    return dtype < MR_DTYPE_Q2_K;
}

/* Elements that are stored together (1, 32 or 256), and the bytes they take. */
size_t mr_dtype_block(enum mr_dtype dtype);
size_t mr_dtype_block_bytes(enum mr_dtype dtype);

/* count elements (whole blocks) to float; `from` needs no alignment. Integers and doubles are rounded to the
 * nearest float. */
void mr_to_f32(enum mr_dtype dtype, const void *from, float *to, size_t count);

/* And from float: to nearest even for f16 (beyond the largest: infinity) and bf16; for the quantised formats
 * to the nearest step of a scale that fits the block's extremes (what is no number becomes 0, scales stay
 * finite). Integer formats round to nearest and stop at their limits; bool is x != 0. Only formats that
 * mr_dtype_writes. */
void mr_from_f32(enum mr_dtype dtype, const float *from, void *to, size_t count);

/* What of some floats a format cannot keep; grows with each call. */
struct mr_fit {
    size_t nonzero, beyond, vanished; /* beyond: too large; vanished: not 0, and stored as 0 */
    float worst;                      /* of those that are too large, the largest */
};
void mr_fit_f32(enum mr_dtype dtype, const float *from, size_t count, struct mr_fit *fit);
/* The largest number of f16 and bf16; of others the largest float. */
float mr_dtype_largest(enum mr_dtype dtype);

float mr_f16_to_f32(uint16_t half);
uint16_t mr_f32_to_f16(float x);
float mr_bf16_to_f32(uint16_t half);
uint16_t mr_f32_to_bf16(float x);

/* Multiplies the numbers of blocks, as they are stored, by 2^exponent: floats and quantised formats; scales that get
 * too large become infinite. */
void mr_shift_numbers(enum mr_dtype dtype, uint8_t *stored, size_t blocks, int exponent);

/* The quantised formats alone, for the functions above: `blocks` blocks of 32, of 256 for the last one. */
void mr_dequantise(enum mr_dtype dtype, const uint8_t *from, float *to, size_t blocks);
void mr_dequantise_k(enum mr_dtype dtype, const uint8_t *from, float *to, size_t blocks);
void mr_quantise(enum mr_dtype dtype, const float *from, uint8_t *to, size_t blocks);

#endif
