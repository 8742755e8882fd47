/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the tests of src/rt share: a table of small kernels and a device opened with it. */
#ifndef MR_RT_TEST_H
#define MR_RT_TEST_H

#include "unit_test.h"

#include "rt/internal.h"

static const struct mr_kernel_file rt_test_files[] = {
    {"cl/first.cl", "#line 1 \"cl/first.cl\"\n"
                    "#ifndef FACTOR\n"
                    "#define FACTOR 2.0f\n"
                    "#endif\n"
                    "kernel void multiples(global const float *x, global float *y, int n, float plus)\n"
                    "{\n"
                    "    for (int i = (int)get_global_id(0); i < n; i += (int)get_global_size(0))\n"
                    "        y[i] = x[i] * FACTOR + plus;\n"
                    "}\n"
                    "kernel void places(global int *y, uint first, ulong second)\n"
                    "{\n"
                    "    int i = (int)(get_global_id(0) + get_global_size(0) * (get_global_id(1) +\n"
                    "                  get_global_size(1) * get_global_id(2)));\n"
                    "    y[i] = i + (int)first + (int)(second >> 32);\n"
                    "}\n"
                    "kernel void is_null(global const float *x, global int *y)\n"
                    "{\n"
                    "    y[0] = x == 0;\n"
                    "}\n"},
    {"cl/second.cl", "#line 1 \"cl/second.cl\"\n"
                     "kernel void greedy(global float *y)\n"
                     "{\n"
                     "    local float room[4096];\n"
                     "    for (int i = 0; i < 4096; i++)\n"
                     "        room[i] = y[i % 4];\n"
                     "    y[0] = room[4095 - (int)y[1]];\n"
                     "}\n"},
    {"cl/wrong.cl", "#line 1 \"cl/wrong.cl\"\n"
                    "kernel void wrong(global float *y)\n"
                    "{\n"
                    "    y[0] = nothing_of_this_name;\n"
                    "}\n"},
};

static const struct mr_parameter rt_test_multiples[] = {{MR_ARG_IN, MR_POINTEE_F32, "x"},
                                                        {MR_ARG_OUT, MR_POINTEE_F32, "y"},
                                                        {MR_ARG_INT, MR_POINTEE_ANY, "n"},
                                                        {MR_ARG_FLOAT, MR_POINTEE_ANY, "plus"}};
static const struct mr_parameter rt_test_places[] = {{MR_ARG_OUT, MR_POINTEE_I32, "y"},
                                                     {MR_ARG_UINT, MR_POINTEE_ANY, "first"},
                                                     {MR_ARG_ULONG, MR_POINTEE_ANY, "second"}};
static const struct mr_parameter rt_test_is_null[] = {{MR_ARG_IN, MR_POINTEE_F32, "x"},
                                                      {MR_ARG_OUT, MR_POINTEE_I32, "y"}};
static const struct mr_parameter rt_test_y[] = {{MR_ARG_OUT, MR_POINTEE_F32, "y"}};

static const struct mr_kernel rt_test_kernels[] = {
    {"greedy", rt_test_y, 1, 1},      {"is_null", rt_test_is_null, 2, 0}, {"multiples", rt_test_multiples, 4, 0},
    {"places", rt_test_places, 3, 0}, {"wrong", rt_test_y, 1, 2},
};

static const struct mr_kernel_table rt_test_table = {rt_test_files, 3, rt_test_kernels, 5};

static inline mr_runtime *rt_test_open(void)
{
    mr_runtime *rt;
    assert_ok(mr_runtime_open_table(&rt, NULL, &rt_test_table));
    return rt;
}

/* A tensor of n floats 0, 1, 2, ... */
static inline mr_tensor rt_test_numbers(mr_runtime *rt, size_t n)
{
    mr_tensor t;
    float *a = malloc(n * sizeof *a);
    assert_non_null(a);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)i;
    assert_ok(mr_tensor_alloc(rt, &t, MR_F32, n));
    assert_ok(mr_write(rt, &t, 0, n, a));
    free(a);
    return t;
}

static inline float rt_test_at(mr_runtime *rt, const mr_tensor *t, size_t i)
{
    float x;
    assert_ok(mr_read(rt, t, i, 1, &x));
    return x;
}

#endif
