/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "io/numbers.h"

int mr_trial_begin(struct mr_trial *t, mr_runtime *rt)
{
    *t = (struct mr_trial){.rt = rt};
    t->numbers = mr_alloc(MR_TRIAL_NUMBERS, sizeof *t->numbers);
    return t->numbers ? 0 : MR_ENOMEM;
}

void mr_trial_forget(struct mr_trial *t)
{
    while (t->tensor_count > 0)
        mr_tensor_free(t->rt, &t->tensors[--t->tensor_count]);
    t->used = 0;
}

void mr_trial_end(struct mr_trial *t)
{
    mr_trial_forget(t);
    free(t->numbers);
    *t = (struct mr_trial){0};
}

double *mr_trial_zeros(struct mr_trial *t, size_t n)
{
    if (n > MR_TRIAL_NUMBERS - t->used) {
        mr_trial_run(t, mr_fail(MR_ENOMEM, "a known-answer test needs more than %d numbers", MR_TRIAL_NUMBERS));
        t->used = 0; /* the case runs to its end on numbers that nobody looks at */
    }
    double *zeros = memset(t->numbers + t->used, 0, n * sizeof *zeros);
    t->used += n;
    return zeros;
}

double *mr_trial_random(struct mr_trial *t, size_t n, double scale)
{
    const struct mr_philox p = {.seed = 1, .step = t->draws++};
    double *a = mr_trial_zeros(t, n);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)(scale * mr_philox_normal(&p, i));
    return a;
}

int32_t *mr_trial_integers(struct mr_trial *t, size_t n, int low, int high)
{
    const struct mr_philox p = {.seed = 1, .step = t->draws++};
    int32_t *a = (int32_t *)mr_trial_zeros(t, (n + 1) / 2);
    for (size_t i = 0; i < n; i++)
        a[i] = low + (int32_t)mr_philox_below(&p, i, (uint64_t)((int64_t)high - low + 1));
    return a;
}

static const mr_tensor *new_tensor(struct mr_trial *t, enum mr_element dtype, size_t n)
{
    static const mr_tensor none;
    if (t->result < 0)
        return &none;
    if (t->tensor_count == MR_TRIAL_TENSORS) {
        mr_trial_run(t, mr_fail(MR_ENOMEM, "a known-answer test needs more than %d tensors", MR_TRIAL_TENSORS));
        return &none;
    }
    mr_tensor *tensor = &t->tensors[t->tensor_count];
    mr_trial_run(t, mr_tensor_alloc(t->rt, tensor, dtype, n));
    if (t->result < 0)
        return &none;
    t->tensor_count++;
    return tensor;
}

const mr_tensor *mr_trial_floats(struct mr_trial *t, const double *host, size_t n)
{
    const mr_tensor *tensor = new_tensor(t, MR_F32, n);
    float *floats = t->result < 0 ? NULL : mr_alloc(n, sizeof *floats);
    if (floats) {
        for (size_t i = 0; i < n; i++)
            floats[i] = host ? (float)host[i] : NAN;
        mr_trial_run(t, mr_write(t->rt, tensor, 0, n, floats));
    } else if (t->result >= 0) {
        mr_trial_run(t, MR_ENOMEM);
    }
    free(floats);
    return tensor;
}

const mr_tensor *mr_trial_ints(struct mr_trial *t, const int32_t *host, size_t n)
{
    const mr_tensor *tensor = new_tensor(t, MR_I32, n);
    if (t->result >= 0)
        mr_trial_run(t, mr_write(t->rt, tensor, 0, n, host));
    return tensor;
}

const mr_tensor *mr_trial_weights(struct mr_trial *t, enum mr_element format, double *w, size_t n, size_t k)
{
    if (format == MR_F32)
        return mr_trial_floats(t, w, n * k);
    const mr_tensor *tensor = new_tensor(t, format, n * k);
    if (t->result < 0)
        return tensor;
    enum mr_dtype dtype = (enum mr_dtype)mr_dtype_from_name(mr_element_name(format));
    float *floats = mr_alloc(n * k, sizeof *floats);
    void *stored = mr_alloc(n * k, sizeof *floats);
    if (floats && stored) {
        for (size_t i = 0; i < n * k; i++)
            floats[i] = (float)w[i];
        mr_from_f32(dtype, floats, stored, n * k);
        mr_to_f32(dtype, stored, floats, n * k);
        for (size_t i = 0; i < n * k; i++)
            w[i] = (double)floats[i];
        mr_trial_run(t, mr_write_rows(t->rt, tensor, k, 0, n, stored));
    } else {
        mr_trial_run(t, MR_ENOMEM);
    }
    free(floats);
    free(stored);
    return tensor;
}

void mr_trial_run(struct mr_trial *t, int result)
{
    if (t->result >= 0)
        t->result = result;
}

void mr_trial_compare(struct mr_trial *t, const mr_tensor *got, const double *want, size_t n)
{
    float *floats = t->result < 0 ? NULL : mr_alloc(n, sizeof *floats);
    if (t->result < 0)
        return;
    if (!floats) {
        mr_trial_run(t, MR_ENOMEM);
        return;
    }
    mr_trial_run(t, mr_read(t->rt, got, 0, n, floats));
    double largest = 0, worst = 0;
    for (size_t i = 0; i < n && t->result >= 0; i++) {
        double difference = fabs((double)floats[i] - want[i]);
        largest = fmax(largest, fabs(want[i]));
        worst = difference <= worst ? worst : isnan(difference) ? INFINITY : difference;
    }
    worst /= largest > 0 ? largest : 1;
    t->error = worst > t->error ? worst : t->error;
    free(floats);
}
