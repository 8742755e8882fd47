/* SPDX-License-Identifier: GPL-3.0-or-later
 * Two models, compared by what they say to the same tokens and by their tensors. */
#ifndef MR_CLI_COMPARING_H
#define MR_CLI_COMPARING_H

#include "cli/cli.h"

struct mr_comparing {
    const char *path[2];
    const char *const *config; /* overrides of both; or NULL */
    const char *const *lora;   /* merged into the first; or NULL */
    struct mr_common common;
    double tolerance; /* of logits, relative to the largest; negative: what the files' formats allow */
    bool tensors;     /* compare those too */
};

/* Prints what differs, as text or (common.json) one line of JSON. MR_EFILE beyond the tolerance. */
int mr_compare_models(const struct mr_comparing *how);

#endif
