/* SPDX-License-Identifier: GPL-3.0-or-later
 * Number formats against their definitions. */
#include "unit_test.h"

#include <math.h>

#include "io/numbers.h"

static double half_value(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double x = e == 31 ? (m ? NAN : INFINITY) : e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    return h & 0x8000 ? -x : x;
}

static double bf16_value(uint16_t h)
{
    int e = h >> 7 & 255, m = h & 127;
    double x = e == 255 ? (m ? NAN : INFINITY) : e ? ldexp(128 + m, e - 134) : ldexp(m, -133);
    return h & 0x8000 ? -x : x;
}

static void test_f16_every_value_widens_and_returns(void **state)
{
    (void)state;
    uint16_t all[65536], back[65536];
    float wide[65536];
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    mr_to_f32(MR_DTYPE_F16, all, wide, 65536);
    mr_from_f32(MR_DTYPE_F16, wide, back, 65536);
    for (int i = 0; i < 65536; i++) {
        double want = half_value(all[i]);
        assert_true(isnan(want) ? isnan(wide[i]) : wide[i] == want && !signbit(wide[i]) == !signbit(want));
        if (!isnan(want))
            assert_int_equal(back[i], all[i]);
        else
            assert_true((back[i] & 0x7fff) > 0x7c00);
        assert_true(isnan(want) || mr_f16_to_f32(all[i]) == want);
    }
}

static void test_bf16_every_value_widens_and_returns(void **state)
{
    (void)state;
    uint16_t all[65536], back[65536];
    float wide[65536];
    for (int i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    mr_to_f32(MR_DTYPE_BF16, all, wide, 65536);
    mr_from_f32(MR_DTYPE_BF16, wide, back, 65536);
    for (int i = 0; i < 65536; i++) {
        double want = bf16_value(all[i]);
        assert_true(isnan(want) ? isnan(wide[i]) : wide[i] == want);
        if (!isnan(want))
            assert_int_equal(back[i], all[i]);
        else
            assert_true((back[i] & 0x7fff) > 0x7f80);
    }
}

/* Between two neighbours, below, at and above the middle: to nearest, and at the middle to the even one. */
static void rounding(double (*value)(uint16_t), uint16_t (*narrow)(float), uint16_t largest)
{
    for (uint16_t h = 0; h < largest; h++) {
        double low = value(h), high = value((uint16_t)(h + 1));
        float middle = (float)((low + high) / 2);
        if (middle != (low + high) / 2)
            continue; /* float has no such number (bf16 subnormals below float's own) */
        uint16_t even = h & 1 ? (uint16_t)(h + 1) : h;
        assert_int_equal(narrow(middle), even);
        assert_int_equal(narrow(-middle), even | 0x8000);
        assert_int_equal(narrow(nextafterf(middle, 0)), h);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), h + 1);
    }
}

static void test_f16_rounds_to_nearest_even(void **state)
{
    (void)state;
    rounding(half_value, mr_f32_to_f16, 0x7bff);
    assert_int_equal(mr_f32_to_f16(65519.996f), 0x7bff);
    assert_int_equal(mr_f32_to_f16(65520), 0x7c00);
    assert_int_equal(mr_f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(mr_f32_to_f16(-3e38f), 0xfc00);
    assert_int_equal(mr_f32_to_f16(1e-10f), 0);
}

static void test_bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    rounding(bf16_value, mr_f32_to_bf16, 0x7f7f);
    assert_int_equal(mr_f32_to_bf16(3.4e38f), 0x7f80);
    assert_int_equal(mr_f32_to_bf16(-INFINITY), 0xff80);
}

/* x rounded to a multiple of the step that halves of this kind have around it; beyond the largest: infinity.
 */
static double nearest(float x, int bits, int least, double largest)
{
    int e;
    if (!isfinite(x) || x == 0)
        return x;
    frexp((double)x, &e); /* |x| from 2^(e-1) to 2^e */
    double step = ldexp(1, (e - 1 > least ? e - 1 : least) - bits), r = rint((double)x / step) * step;
    return fabs(r) > largest ? copysign(INFINITY, (double)x) : r;
}

static void test_floats_of_every_kind_round_as_defined(void **state)
{
    (void)state;
    enum { N = 1000 }; /* through the loops over pieces */
    uint32_t bits = 0;
    for (int round = 0; round < 800; round++) {
        float x[N];
        uint16_t f16[N], bf16[N];
        for (int i = 0; i < N; i++, bits += 5381)
            memcpy(&x[i], &bits, 4);
        mr_from_f32(MR_DTYPE_F16, x, f16, N);
        mr_from_f32(MR_DTYPE_BF16, x, bf16, N);
        for (int i = 0; i < N; i++) {
            double half = half_value(f16[i]), brain = bf16_value(bf16[i]);
            if (isnan(x[i])
                    ? !isnan(half) || !isnan(brain)
                    : half != nearest(x[i], 10, -14, 65504) || brain != nearest(x[i], 7, -126, ldexp(255, 120)) ||
                          !signbit(half) != !signbit(x[i]) || !signbit(brain) != !signbit(x[i]))
                fail_msg("%a became %a as f16 and %a as bf16", (double)x[i], half, brain);
        }
    }
    static const uint32_t quiet[] = {0x7f800001, 0xff800001, 0x7fc00000, 0x7fffffff};
    for (size_t i = 0; i < COUNT(quiet); i++) { /* what is no number stays none, however little says so */
        float x;
        memcpy(&x, &quiet[i], 4);
        assert_true(isnan(half_value(mr_f32_to_f16(x))) && isnan(bf16_value(mr_f32_to_bf16(x))));
    }
}

static void test_block_layouts_are_as_described(void **state)
{
    (void)state;
    uint8_t block[34] = {0};
    float x[32];
    uint16_t two = mr_f32_to_f16(2), three = mr_f32_to_f16(3);
    uint32_t fifth = 1u << 31 | 1;
    for (int i = 0; i < 16; i++)
        block[2 + i] = (uint8_t)(i | (15 - i) << 4);
    memcpy(block, &two, 2);
    mr_to_f32(MR_DTYPE_Q4_0, block, x, 32);
    for (int i = 0; i < 16; i++)
        assert_true(x[i] == (i - 8) * 2 && x[16 + i] == (15 - i - 8) * 2);
    memmove(block + 4, block + 2, 16);
    memcpy(block + 2, &three, 2);
    mr_to_f32(MR_DTYPE_Q4_1, block, x, 32);
    for (int i = 0; i < 16; i++)
        assert_true(x[i] == i * 2 + 3 && x[16 + i] == (15 - i) * 2 + 3);
    memmove(block + 8, block + 4, 16);
    memcpy(block + 4, &fifth, 4);
    mr_to_f32(MR_DTYPE_Q5_1, block, x, 32);
    for (int i = 0; i < 32; i++)
        assert_true(x[i] == ((i < 16 ? i : 31 - i) + (i % 31 ? 0 : 16)) * 2 + 3);
    memmove(block + 2, block + 4, 20);
    mr_to_f32(MR_DTYPE_Q5_0, block, x, 32);
    for (int i = 0; i < 32; i++)
        assert_true(x[i] == ((i < 16 ? i : 31 - i) + (i % 31 ? 0 : 16) - 16) * 2);
    for (int i = 0; i < 32; i++)
        block[2 + i] = (uint8_t)(i * 8 - 128);
    mr_to_f32(MR_DTYPE_Q8_0, block, x, 32);
    for (int i = 0; i < 32; i++)
        assert_true(x[i] == (i * 8 - 128) * 2);
}

/* A value is off by half a step at most (a little more where the scale is rounded to f16 and the block's
 * extreme does not fit), and what is on a step stays. */
static void test_quantising_keeps_to_the_nearest_step(void **state)
{
    (void)state;
    static const struct {
        enum mr_dtype dtype;
        float steps; /* of the block's range */
    } kinds[] = {
        {MR_DTYPE_Q4_0, 15}, {MR_DTYPE_Q4_1, 15}, {MR_DTYPE_Q5_0, 31}, {MR_DTYPE_Q5_1, 31}, {MR_DTYPE_Q8_0, 254}};
    srand(7);
    for (size_t k = 0; k < COUNT(kinds); k++)
        for (int round = 0; round < 500; round++) {
            float x[96], y[96], z[96], largest = 0;
            uint8_t packed[3 * 34], again[3 * 34];
            for (int i = 0; i < 96; i++) {
                x[i] = ((float)rand() / (float)RAND_MAX - 0.3f) * (float)(1 + round);
                largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
            }
            mr_from_f32(kinds[k].dtype, x, packed, 96);
            mr_to_f32(kinds[k].dtype, packed, y, 96);
            float tolerance = 2 * largest / kinds[k].steps * 0.6f;
            for (int i = 0; i < 96; i++)
                if (!(fabsf(x[i] - y[i]) <= tolerance))
                    fail_msg("%s round %d: %g became %g", mr_dtype_name(kinds[k].dtype), round, (double)x[i],
                             (double)y[i]);
            mr_from_f32(kinds[k].dtype, y, again, 96);
            mr_to_f32(kinds[k].dtype, again, z, 96);
            for (int i = 0; i < 96; i++)
                assert_true(fabsf(y[i] - z[i]) <= largest * 1e-3f);
        }
}

static void test_quantising_survives_odd_numbers(void **state)
{
    (void)state;
    float x[32], y[32];
    uint8_t packed[34];
    for (int kind = MR_DTYPE_Q4_0; kind <= MR_DTYPE_Q8_0; kind++) {
        static const float odd[] = {0, 1e-30f, 3e38f, NAN, INFINITY, -INFINITY, 1e-42f};
        for (size_t k = 0; k < COUNT(odd); k++) {
            for (int i = 0; i < 32; i++)
                x[i] = i == 5 ? odd[k] : k ? 1 : 0;
            mr_from_f32((enum mr_dtype)kind, x, packed, 32);
            mr_to_f32((enum mr_dtype)kind, packed, y, 32);
            for (int i = 0; i < 32; i++)
                assert_true(isfinite(y[i]));
            if (k == 0)
                for (int i = 0; i < 32; i++)
                    assert_true(y[i] == 0);
        }
    }
}

static void test_integers_stop_at_their_limits(void **state)
{
    (void)state;
    const float x[] = {0, 1.5f, 2.5f, -1, 300, 1e10f, -1e30f, NAN, INFINITY};
    uint8_t u8[COUNT(x)];
    int16_t i16[COUNT(x)];
    int64_t i64[COUNT(x)];
    mr_from_f32(MR_DTYPE_U8, x, u8, COUNT(x));
    mr_from_f32(MR_DTYPE_I16, x, i16, COUNT(x));
    mr_from_f32(MR_DTYPE_I64, x, i64, COUNT(x));
    const uint8_t want8[] = {0, 2, 2, 0, 255, 255, 0, 0, 255};
    const int16_t want16[] = {0, 2, 2, -1, 300, INT16_MAX, INT16_MIN, 0, INT16_MAX};
    assert_memory_equal(u8, want8, sizeof want8);
    assert_memory_equal(i16, want16, sizeof want16);
    assert_true(i64[5] == 10000000000 && i64[6] == INT64_MIN && i64[8] == INT64_MAX - 1023);
}

static void test_names_of_formats(void **state)
{
    (void)state;
    for (int i = 0; i < MR_DTYPES; i++)
        assert_int_equal(mr_dtype_from_name(mr_dtype_name((enum mr_dtype)i)), i);
    assert_int_equal(mr_dtype_from_name("q7_k"), -1);
    assert_int_equal(mr_dtype_block(MR_DTYPE_Q5_0), 32);
    assert_int_equal(mr_dtype_block_bytes(MR_DTYPE_Q5_0), 22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f16_every_value_widens_and_returns),
        cmocka_unit_test(test_bf16_every_value_widens_and_returns),
        cmocka_unit_test(test_f16_rounds_to_nearest_even),
        cmocka_unit_test(test_bf16_rounds_to_nearest_even),
        cmocka_unit_test(test_floats_of_every_kind_round_as_defined),
        cmocka_unit_test(test_block_layouts_are_as_described),
        cmocka_unit_test(test_quantising_keeps_to_the_nearest_step),
        cmocka_unit_test(test_quantising_survives_odd_numbers),
        cmocka_unit_test(test_integers_stop_at_their_limits),
        cmocka_unit_test(test_names_of_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
