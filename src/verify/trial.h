/* SPDX-License-Identifier: GPL-3.0-or-later
 * One trial of a family: its random numbers, their copies on the device, the comparison. After the first error
 * everything is passed over, so that a case reads as a list of steps. Host memory comes from one block that is large
 * enough for every case, and everything is freed with the trial. */
#ifndef MR_VERIFY_TRIAL_H
#define MR_VERIFY_TRIAL_H

#include "rt/rt.h"

enum { MR_TRIAL_NUMBERS = 1 << 20, MR_TRIAL_TENSORS = 64 };

struct mr_trial {
    mr_runtime *rt;
    int result;
    double error;
    double *numbers; /* MR_TRIAL_NUMBERS */
    size_t used;
    mr_tensor tensors[MR_TRIAL_TENSORS];
    int tensor_count;
    uint32_t draws; /* arrays drawn so far: each has numbers of its own */
};

int mr_trial_begin(struct mr_trial *t, mr_runtime *rt);
void mr_trial_end(struct mr_trial *t);

/* n zeros; n normal numbers, each exactly a float; n integers in low..high. */
double *mr_trial_zeros(struct mr_trial *t, size_t n);
double *mr_trial_random(struct mr_trial *t, size_t n, double scale);
int32_t *mr_trial_integers(struct mr_trial *t, size_t n, int low, int high);

/* On the device: a copy of n numbers (NULL: not a number, so that what a kernel leaves out shows). */
const mr_tensor *mr_trial_floats(struct mr_trial *t, const double *host, size_t n);
const mr_tensor *mr_trial_ints(struct mr_trial *t, const int32_t *host, size_t n);

/* w [n,k] in a format; w itself becomes what the device holds. */
const mr_tensor *mr_trial_weights(struct mr_trial *t, enum mr_element format, double *w, size_t n, size_t k);
/* Frees all tensors and numbers so far. */
void mr_trial_forget(struct mr_trial *t);

/* Takes note of an op's result. */
void mr_trial_run(struct mr_trial *t, int result);
/* Waits, and compares n numbers. */
void mr_trial_compare(struct mr_trial *t, const mr_tensor *got, const double *want, size_t n);

#endif
