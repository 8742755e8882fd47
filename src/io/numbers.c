/* SPDX-License-Identifier: GPL-3.0-or-later
 * Loops run over pieces of a constant length, which compilers turn into vector code without being asked
 * twice. */
#include "io/numbers.h"

#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "all file formats here are little-endian");

static const struct {
    const char *name;
    uint16_t block, bytes;
} formats[MR_DTYPES] = {
    [MR_DTYPE_F32] = {"f32", 1, 4},       [MR_DTYPE_F16] = {"f16", 1, 2},       [MR_DTYPE_BF16] = {"bf16", 1, 2},
    [MR_DTYPE_F64] = {"f64", 1, 8},       [MR_DTYPE_I64] = {"i64", 1, 8},       [MR_DTYPE_I32] = {"i32", 1, 4},
    [MR_DTYPE_I16] = {"i16", 1, 2},       [MR_DTYPE_I8] = {"i8", 1, 1},         [MR_DTYPE_U16] = {"u16", 1, 2},
    [MR_DTYPE_U8] = {"u8", 1, 1},         [MR_DTYPE_BOOL] = {"bool", 1, 1},     [MR_DTYPE_Q4_0] = {"q4_0", 32, 18},
    [MR_DTYPE_Q4_1] = {"q4_1", 32, 20},   [MR_DTYPE_Q5_0] = {"q5_0", 32, 22},   [MR_DTYPE_Q5_1] = {"q5_1", 32, 24},
    [MR_DTYPE_Q8_0] = {"q8_0", 32, 34},   [MR_DTYPE_Q2_K] = {"q2_k", 256, 84},  [MR_DTYPE_Q3_K] = {"q3_k", 256, 110},
    [MR_DTYPE_Q4_K] = {"q4_k", 256, 144}, [MR_DTYPE_Q5_K] = {"q5_k", 256, 176}, [MR_DTYPE_Q6_K] = {"q6_k", 256, 210},
    [MR_DTYPE_Q8_K] = {"q8_k", 256, 292},
};

enum { PIECE = 64 };

const char *mr_dtype_name(enum mr_dtype dtype)
{
    return (unsigned)dtype < MR_DTYPES ? formats[dtype].name : "unknown";
}

int mr_dtype_from_name(const char *name)
{
    for (int i = 0; i < MR_DTYPES; i++)
        if (!strcmp(formats[i].name, name))
            return i;
    return -1;
}

size_t mr_dtype_block(enum mr_dtype dtype)
{
    return formats[dtype].block;
}

size_t mr_dtype_block_bytes(enum mr_dtype dtype)
{
    return formats[dtype].bytes;
}

static inline float as_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static inline uint32_t as_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}

/* Exponents move by 127 - 15 = 112; a subnormal half is an integer times 2^-24, which the subtraction
 * normalises. */
static inline uint32_t widen_f16(uint32_t h)
{
    uint32_t a = (h & 0x7fff) << 13, sign = (h & 0x8000) << 16;
    uint32_t normal = a + (112u << 23);
    uint32_t special = a + (224u << 23);
    uint32_t small = as_bits(as_float(a + (113u << 23)) - 0x1p-14f);
    uint32_t r = a < 1u << 23 ? small : normal;
    return sign | (a >= 31u << 23 ? special : r);
}

/* Normal results: half of the dropped bits' unit is added, a little less when the kept part is even.
 * Subnormal results: adding 0.5f rounds to multiples of 2^-24, as the addition itself rounds. */
static inline uint32_t narrow_f16(uint32_t x)
{
    uint32_t a = x & 0x7fffffff, sign = x >> 16 & 0x8000;
    uint32_t normal = (a - (112u << 23) + 0xfff + (a >> 13 & 1)) >> 13;
    uint32_t small = as_bits(as_float(a) + 0.5f) - 0x3f000000;
    uint32_t r = a < 113u << 23 ? small : normal;
    r = a >= 143u << 23 ? 0x7c00 : r;
    r = a > 0x7f800000 ? 0x7e00 | (a >> 13 & 0x3ff) : r;
    return sign | r;
}

static inline uint32_t narrow_bf16(uint32_t x)
{
    uint32_t r = (x + 0x7fff + (x >> 16 & 1)) >> 16;
    return (x & 0x7fffffff) > 0x7f800000 ? x >> 16 | 0x40 : r;
}

float mr_f16_to_f32(uint16_t half)
{
    return as_float(widen_f16(half));
}

uint16_t mr_f32_to_f16(float x)
{
    return (uint16_t)narrow_f16(as_bits(x));
}

float mr_bf16_to_f32(uint16_t half)
{
    return as_float((uint32_t)half << 16);
}

uint16_t mr_f32_to_bf16(float x)
{
    return (uint16_t)narrow_bf16(as_bits(x));
}

static void widen_f16_piece(const uint16_t *restrict in, float *restrict out)
{
    for (int i = 0; i < PIECE; i++)
        out[i] = as_float(widen_f16(in[i]));
}

static void narrow_f16_piece(const float *restrict in, uint16_t *restrict out)
{
    for (int i = 0; i < PIECE; i++)
        out[i] = (uint16_t)narrow_f16(as_bits(in[i]));
}

static void widen_bf16_piece(const uint16_t *restrict in, float *restrict out)
{
    for (int i = 0; i < PIECE; i++)
        out[i] = as_float((uint32_t)in[i] << 16);
}

static void narrow_bf16_piece(const float *restrict in, uint16_t *restrict out)
{
    for (int i = 0; i < PIECE; i++)
        out[i] = (uint16_t)narrow_bf16(as_bits(in[i]));
}

static void widen(const uint8_t *from, float *to, size_t count, void (*piece)(const uint16_t *, float *))
{
    uint16_t in[PIECE] = {0};
    float out[PIECE];
    for (; count >= PIECE; count -= PIECE, from += 2 * PIECE, to += PIECE) {
        memcpy(in, from, 2 * PIECE);
        piece(in, to);
    }
    memcpy(in, from, 2 * count);
    piece(in, out);
    memcpy(to, out, 4 * count);
}

static void narrow(const float *from, uint8_t *to, size_t count, void (*piece)(const float *, uint16_t *))
{
    float in[PIECE] = {0};
    uint16_t out[PIECE];
    for (; count >= PIECE; count -= PIECE, from += PIECE, to += 2 * PIECE) {
        piece(from, out);
        memcpy(to, out, 2 * PIECE);
    }
    memcpy(in, from, 4 * count);
    piece(in, out);
    memcpy(to, out, 2 * count);
}

#define READ(type)                                           \
    for (size_t i = 0; i < count; i++) {                     \
        type value;                                          \
        memcpy(&value, in + i * sizeof value, sizeof value); \
        to[i] = (float)value;                                \
    }                                                        \
    return

void mr_to_f32(enum mr_dtype dtype, const void *from, float *to, size_t count)
{
    const uint8_t *in = from;
    if (!count)
        return;
    switch (dtype) {
    case MR_DTYPE_F32:
        memcpy(to, from, 4 * count);
        return;
    case MR_DTYPE_F16:
        widen(in, to, count, widen_f16_piece);
        return;
    case MR_DTYPE_BF16:
        widen(in, to, count, widen_bf16_piece);
        return;
    case MR_DTYPE_F64:
        READ(double);
    case MR_DTYPE_I64:
        READ(int64_t);
    case MR_DTYPE_I32:
        READ(int32_t);
    case MR_DTYPE_I16:
        READ(int16_t);
    case MR_DTYPE_I8:
        READ(int8_t);
    case MR_DTYPE_U16:
        READ(uint16_t);
    case MR_DTYPE_U8:
        READ(uint8_t);
    case MR_DTYPE_BOOL:
        for (size_t i = 0; i < count; i++)
            to[i] = in[i] != 0;
        return;
    default:
        if (mr_dtype_block(dtype) == 32)
            mr_dequantise(dtype, in, to, count / 32);
        else
            mr_dequantise_k(dtype, in, to, count / 256);
    }
}

/* Rounded to an integer from low to high; 0 for what is no number. */
static int64_t to_integer(float x, double low, double high)
{
    double r = rint((double)x);
    return isnan(x) ? 0 : (int64_t)(r < low ? low : r > high ? high : r);
}

#define WRITE(type, low, high)                                \
    for (size_t i = 0; i < count; i++) {                      \
        type value = (type)to_integer(from[i], low, high);    \
        memcpy(out + i * sizeof value, &value, sizeof value); \
    }                                                         \
    return

void mr_from_f32(enum mr_dtype dtype, const float *from, void *to, size_t count)
{
    uint8_t *out = to;
    if (!count)
        return;
    switch (dtype) {
    case MR_DTYPE_F32:
        memcpy(to, from, 4 * count);
        return;
    case MR_DTYPE_F16:
        narrow(from, out, count, narrow_f16_piece);
        return;
    case MR_DTYPE_BF16:
        narrow(from, out, count, narrow_bf16_piece);
        return;
    case MR_DTYPE_F64:
        for (size_t i = 0; i < count; i++) {
            double value = from[i];
            memcpy(out + 8 * i, &value, 8);
        }
        return;
    case MR_DTYPE_I64:
        WRITE(int64_t, -0x1p63, 0x1p63 - 1024); /* the last double below 2^63 */
    case MR_DTYPE_I32:
        WRITE(int32_t, INT32_MIN, INT32_MAX);
    case MR_DTYPE_I16:
        WRITE(int16_t, INT16_MIN, INT16_MAX);
    case MR_DTYPE_I8:
        WRITE(int8_t, INT8_MIN, INT8_MAX);
    case MR_DTYPE_U16:
        WRITE(uint16_t, 0, UINT16_MAX);
    case MR_DTYPE_U8:
        WRITE(uint8_t, 0, UINT8_MAX);
    case MR_DTYPE_BOOL:
        for (size_t i = 0; i < count; i++)
            out[i] = from[i] != 0;
        return;
    default:
        mr_quantise(dtype, from, out, count / 32);
    }
}
