/* SPDX-License-Identifier: GPL-3.0-or-later
 * Two models, compared by their logits for the same tokens and by their tensors. */
#ifndef MR_API_COMPARING_H
#define MR_API_COMPARING_H

#include <jansson.h>
#include <stdbool.h>

#include "microrwkv/microrwkv.h"

struct mr_comparing {
    const char *path[2];
    const char *const *config; /* overrides of both; or NULL */
    const char *const *lora;   /* merged into the first; or NULL */
    double tolerance;          /* of logits, relative to the largest; negative: what the files' formats allow */
    bool tensors;              /* compare those too */
};

/* *result: {"tokens", "logits", "difference", "largest_logit", "relative", "tolerance"}, and of two models of one
 * family "tensors" that differ, each {"name", "count", "of", "largest"}. NULL after an error. */
int mr_compare_models(mr_runtime *rt, const struct mr_comparing *how, json_t **result);

#endif
