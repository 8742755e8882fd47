/* SPDX-License-Identifier: GPL-3.0-or-later
 * Known-answer tests of a device: every family of kernels on random numbers, against the double-precision
 * reference. */
#ifndef MR_VERIFY_VERIFY_H
#define MR_VERIFY_VERIFY_H

#include <stdbool.h>

#include "microrwkv/microrwkv.h"

struct mr_verdict {
    const char *family; /* as in cl/, with "_step", "_weights" for more of it */
    int result;         /* 0, or the error that stopped it (its text is mr_error_text) */
    double error;       /* the largest difference found, relative to the largest number of its tensor */
    double allowed;
};

/* Whether the family computes what it should. */
bool mr_verdict_good(const struct mr_verdict *verdict);

/* Tries all families in turn and reports each verdict; the result is MR_EDEVICE if any is not good, and MR_EINVAL if a
 * kernel was never launched. */
int mr_verify(mr_runtime *rt, void (*report)(void *context, const struct mr_verdict *verdict), void *context);

/* The i-th of all kernels, NULL past the last; and whether it was launched. */
const char *mr_verify_kernel(const mr_runtime *rt, int i, bool *launched);

#endif
