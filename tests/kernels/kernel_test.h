/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the kernel tests share: one device per process, random numbers from a seed, uploads of the doubles that
 * the reference works with, comparisons that fail the running cmocka test and print the case. Include this
 * file alone: it brings cmocka. */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "rt/rt.h"

/* The device of MICRORWKV_DEVICE (or the default), opened once and closed after the group of tests (at the
 * process's end, the compilers inside OpenCL drivers are gone already). */
mr_runtime *test_runtime(void);
int close_test_runtime(void **state);

#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown)                                \
    _cmocka_run_group_tests(#tests, tests, sizeof(tests) / sizeof((tests)[0]), setup, \
                            (teardown) ? (teardown) : close_test_runtime)

/* Fails the test with mr_error_text() if the call failed. */
#define must(call) must_at((call), #call, __FILE__, __LINE__)
void must_at(int result, const char *call, const char *file, int line);

/* The seed of this run: MICRORWKV_TEST_SEED, or 1. */
uint64_t test_seed(void);
/* Printed with every failure until the next call: test_case("rows %d dim %d seed %llu", ...). */
__attribute__((format(printf, 1, 2))) void test_case(const char *format, ...);

/* Random numbers: normal with deviation `scale`; uniform in [low, high]; integers in [low, high]. The arrays
 * are freed by the caller. All are floats that doubles hold exactly, so that device and reference agree. */
double *random_array(uint64_t seed, size_t n, double scale);
double *random_uniform(uint64_t seed, size_t n, double low, double high);
int32_t *random_integers(uint64_t seed, size_t n, int low, int high);
int random_int(uint64_t seed, int low, int high);
double *zeros(size_t n);

/* Every width from 1 to WIDTHS is tried. Where a kernel compiles anew for each (its width comes with -D), only if
 * MICRORWKV_TEST_WIDTHS is "all": ./run check asks for that. */
enum { WIDTHS = 200 };
bool test_all_widths(void);
/* The size that a test tries in a round: those of the table, then every width. */
int size_of_round(const int *table, size_t count, size_t round);
/* Whether a slow simulator runs the test (MICRORWKV_TEST_SMALL): shapes no larger than needed to enter every loop. */
bool test_small(void);

/* Tensors; freed by release(). */
mr_tensor upload(const double *a, size_t n);
mr_tensor upload_i32(const int32_t *a, size_t n);
mr_tensor empty(size_t n);     /* filled with NaN: what a kernel leaves out shows */
mr_tensor empty_i32(size_t n); /* filled with -123456789 */
mr_tensor zeroed(size_t n);
/* w [n,k] in a format; w itself becomes what the device holds. */
mr_tensor upload_weights(enum mr_element format, double *w, size_t n, size_t k);
void release(mr_tensor *t);
double *download(const mr_tensor *t, size_t n);      /* freed by the caller */
int32_t *download_i32(const mr_tensor *t, size_t n); /* freed by the caller */

/* |got - want| <= relative_tolerance * max |want| (max taken as 1 if all of want is 0), and no NaN. */
void expect_near(const char *what, const mr_tensor *got, const double *want, size_t n, double relative_tolerance);
void expect_near_host(const char *what, const double *got, const double *want, size_t n, double relative_tolerance);
void expect_equal_i32(const char *what, const mr_tensor *got, const int32_t *want, size_t n);

/* Central differences: `loss(context)` reads x; gradient [n] is what should be its derivative. At most 48
 * elements are tried, drawn from the seed. Relative to the largest of |gradient|; 1e-6 suits doubles. */
void expect_gradient(const char *what, double (*loss)(void *context), void *context, double *x, const double *gradient,
                     size_t n, double relative_tolerance);

/* For benchmarks inside tests: seconds of a clock that never goes back. */
double test_clock(void);

#endif
