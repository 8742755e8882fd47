/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a file of an adapter says: by its tensors' names, and in an adapter_config.json beside it. */
#ifndef MR_FORMATS_ADAPTER_NAMES_H
#define MR_FORMATS_ADAPTER_NAMES_H

#include "io/tensor_file.h"

enum mr_adapter_part {
    MR_ADAPTER_A,     /* (r,in) */
    MR_ADAPTER_B,     /* (out,r) */
    MR_ADAPTER_BLOCK, /* (r,out) */
    MR_ADAPTER_WHOLE, /* a tensor that was trained as a whole, and takes the place of the model's */
};

struct mr_adapter_name {
    int part;
    bool first;       /* PiSSA's first values, which the weights lose */
    char target[260]; /* the weight that it changes */
    char other[300];  /* of an A: the name of its B */
};

int mr_adapter_name_of(const mr_tensor_file *file, size_t i, struct mr_adapter_name *name);

struct mr_adapter {
    double scale, alpha; /* scale: what the caller said, or 1; alpha 0: not known */
    bool has_scale;      /* the caller gave a scale */
    bool root;           /* alpha / sqrt(r) */
    bool transposed;     /* the weights are (in,out) */
};

/* spec: a file, or a folder of Hugging Face PEFT; then ":" and the scale, or not. */
int mr_adapter_open(mr_tensor_file **file, const char *spec, struct mr_adapter *how);

#endif
