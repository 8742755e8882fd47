/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kernel_test.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/philox.h"
#include "io/numbers.h"

static mr_runtime *runtime;
static char case_text[512] = "(no case named)";

static void print_log(void *context, enum mr_log_level level, const char *line)
{
    (void)context;
    if (level == MR_LOG_WARNING)
        fprintf(stderr, "# %s\n", line);
}

int close_test_runtime(void **state)
{
    (void)state;
    mr_runtime_close(runtime);
    runtime = NULL;
    return 0;
}

mr_runtime *test_runtime(void)
{
    if (runtime)
        return runtime;
    mr_set_log(print_log, NULL);
    int result = mr_runtime_open(&runtime, NULL);
    if (result == MR_ENODEV && strstr(mr_error_text(), "MICRORWKV_LANES=")) { /* more lanes than its groups have */
        print_message("# %s\n", mr_error_text());
        skip();
    }
    must(result);
    return runtime;
}

void must_at(int result, const char *call, const char *file, int line)
{
    if (result >= 0)
        return;
    fprintf(stderr, "# %s\n#   %s gives %d: %s\n", case_text, call, result, mr_error_text());
    _fail(file, line);
}

uint64_t test_seed(void)
{
    const char *text = getenv("MICRORWKV_TEST_SEED");
    return text && *text ? strtoull(text, NULL, 10) : 1;
}

bool test_all_widths(void)
{
    const char *text = getenv("MICRORWKV_TEST_WIDTHS");
    return text && !strcmp(text, "all");
}

bool test_small(void)
{
    const char *text = getenv("MICRORWKV_TEST_SMALL");
    return text && *text;
}

int size_of_round(const int *table, size_t count, size_t round)
{
    return round < count ? table[round] : (int)(round - count) + 1;
}

void test_case(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(case_text, sizeof case_text, format, args);
    va_end(args);
}

static void *must_have(void *block)
{
    if (!block)
        fail_msg("out of memory");
    return block;
}

double *zeros(size_t n)
{
    return must_have(calloc(n ? n : 1, sizeof(double)));
}

double *random_array(uint64_t seed, size_t n, double scale)
{
    struct mr_philox p = {.seed = seed, .step = test_seed()};
    double *a = zeros(n);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)(scale * mr_philox_normal(&p, i));
    return a;
}

double *random_uniform(uint64_t seed, size_t n, double low, double high)
{
    struct mr_philox p = {.seed = seed, .step = test_seed()};
    double *a = zeros(n);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)(low + (high - low) * (double)mr_philox_uniform(&p, i));
    return a;
}

int32_t *random_integers(uint64_t seed, size_t n, int low, int high)
{
    struct mr_philox p = {.seed = seed, .step = test_seed()};
    int32_t *a = must_have(calloc(n ? n : 1, sizeof *a));
    for (size_t i = 0; i < n; i++)
        a[i] = low + (int32_t)mr_philox_below(&p, i, (uint64_t)((int64_t)high - low + 1));
    return a;
}

int random_int(uint64_t seed, int low, int high)
{
    struct mr_philox p = {.seed = seed, .step = test_seed()};
    return low + (int)mr_philox_below(&p, 0, (uint64_t)((int64_t)high - low + 1));
}

static mr_tensor allocate(enum mr_element dtype, size_t n)
{
    mr_tensor t;
    must(mr_tensor_alloc(test_runtime(), &t, dtype, n ? n : 1));
    return t;
}

static mr_tensor upload_floats(const double *a, size_t n, double otherwise)
{
    float *f = must_have(malloc((n ? n : 1) * sizeof *f));
    for (size_t i = 0; i < n; i++)
        f[i] = (float)(a ? a[i] : otherwise);
    mr_tensor t = allocate(MR_F32, n);
    must(mr_write(test_runtime(), &t, 0, n, f));
    free(f);
    return t;
}

mr_tensor upload(const double *a, size_t n)
{
    return upload_floats(a, n, 0);
}

mr_tensor empty(size_t n)
{
    return upload_floats(NULL, n, NAN);
}

mr_tensor zeroed(size_t n)
{
    return upload_floats(NULL, n, 0);
}

mr_tensor upload_i32(const int32_t *a, size_t n)
{
    mr_tensor t = allocate(MR_I32, n);
    must(mr_write(test_runtime(), &t, 0, n, a));
    return t;
}

mr_tensor empty_i32(size_t n)
{
    int32_t *a = random_integers(0, n, -123456789, -123456789);
    mr_tensor t = upload_i32(a, n);
    free(a);
    return t;
}

mr_tensor upload_weights(enum mr_element format, double *w, size_t n, size_t k)
{
    enum mr_dtype dtype = (enum mr_dtype)mr_dtype_from_name(mr_element_name(format));
    float *f = must_have(malloc(n * k * sizeof *f));
    void *stored = must_have(malloc(n * k * sizeof *f));
    for (size_t i = 0; i < n * k; i++)
        f[i] = (float)w[i];
    mr_from_f32(dtype, f, stored, n * k);
    mr_to_f32(dtype, stored, f, n * k);
    for (size_t i = 0; i < n * k; i++)
        w[i] = (double)f[i];
    mr_tensor t = allocate(format, n * k);
    must(mr_write_rows(test_runtime(), &t, k, 0, n, stored));
    free(f), free(stored);
    return t;
}

void release(mr_tensor *t)
{
    mr_tensor_free(test_runtime(), t);
}

double *download(const mr_tensor *t, size_t n)
{
    float *f = must_have(malloc((n ? n : 1) * sizeof *f));
    double *a = zeros(n);
    must(mr_read(test_runtime(), t, 0, n, f));
    for (size_t i = 0; i < n; i++)
        a[i] = f[i];
    free(f);
    return a;
}

int32_t *download_i32(const mr_tensor *t, size_t n)
{
    int32_t *a = must_have(calloc(n ? n : 1, sizeof *a));
    must(mr_read(test_runtime(), t, 0, n, a));
    return a;
}

void expect_near_host(const char *what, const double *got, const double *want, size_t n, double relative_tolerance)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    double allowed = relative_tolerance * (largest > 0 ? largest : 1);
    size_t wrong = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        double error = fabs(got[i] - want[i]);
        if (error <= allowed)
            continue;
        if (!wrong++ || !(error <= fabs(got[worst] - want[worst])))
            worst = i;
    }
    if (!wrong)
        return;
    fprintf(stderr,
            "# %s (test seed %llu)\n#   %s: %zu of %zu elements are wrong; [%zu] is %.9g, should be %.9g "
            "(allowed error %.3g, largest %.3g)\n",
            case_text, (unsigned long long)test_seed(), what, wrong, n, worst, got[worst], want[worst], allowed,
            largest);
    fail();
}

void expect_near(const char *what, const mr_tensor *got, const double *want, size_t n, double relative_tolerance)
{
    double *a = download(got, n);
    expect_near_host(what, a, want, n, relative_tolerance);
    free(a);
}

void expect_equal_i32(const char *what, const mr_tensor *got, const int32_t *want, size_t n)
{
    int32_t *a = download_i32(got, n);
    for (size_t i = 0; i < n; i++) {
        if (a[i] == want[i])
            continue;
        fprintf(stderr, "# %s (test seed %llu)\n#   %s: [%zu of %zu] is %d, should be %d\n", case_text,
                (unsigned long long)test_seed(), what, i, n, a[i], want[i]);
        free(a);
        fail();
    }
    free(a);
}

void expect_gradient(const char *what, double (*loss)(void *context), void *context, double *x, const double *gradient,
                     size_t n, double relative_tolerance)
{
    enum { TRIES = 48 };
    double got[TRIES], want[TRIES], largest = 0;
    size_t tries = n < TRIES ? n : TRIES;
    struct mr_philox p = {.seed = 77, .step = test_seed()};
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(gradient[i]));
    for (size_t k = 0; k < tries; k++) {
        size_t i = n <= TRIES ? k : (size_t)mr_philox_below(&p, k, n);
        double kept = x[i], step = 1e-5 * fmax(1, fabs(kept));
        x[i] = kept + step;
        double above = loss(context);
        x[i] = kept - step;
        double below = loss(context);
        x[i] = kept;
        want[k] = (above - below) / (2 * step);
        got[k] = gradient[i];
    }
    for (size_t k = 0; k < tries; k++) {
        if (fabs(got[k] - want[k]) <= relative_tolerance * (largest > 0 ? largest : 1))
            continue;
        fprintf(stderr,
                "# %s (test seed %llu)\n#   gradient of %s: %.9g, central differences say %.9g (largest %.3g)\n",
                case_text, (unsigned long long)test_seed(), what, got[k], want[k], largest);
        fail();
    }
}

double test_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
