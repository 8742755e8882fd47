/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parameters of a model: names, shapes, how they start, and where they lie on the device. */
#ifndef MR_MODEL_PARAMS_H
#define MR_MODEL_PARAMS_H

#include "model/config.h"
#include "rt/plan.h"

#define MR_NAME 120 /* longest parameter name, with its NUL */

struct mr_param {
    char name[MR_NAME];
    int ndim;
    size_t shape[4], count;
    bool decay; /* takes part in AdamW's weight decay */
    /* How it starts: normal(0, std) where std > 0, else `fill`, or what start() writes where that is set. */
    double std, fill;
    void (*start)(const struct mr_config *cfg, int block, float *out, size_t count);
    int block;
    mr_tensor value, grad, m, v; /* grad, m, v: {0} unless the model trains */
};

struct mr_params {
    struct mr_param **list; /* in the order of declaration, which is the order of files */
    int count, capacity;
};

void mr_params_free(struct mr_params *params);

/* The parameter prefix + name; declared again (two layers share it) it is the same one. The shape ends with 0.
 * NULL (error text set) when memory is out or the shapes disagree. */
struct mr_param *mr_declare(struct mr_params *params, const char *prefix, const char *name, const size_t *shape);
#define mr_shape(...) ((const size_t[]){__VA_ARGS__, 0})

/* The parameter of that name, or NULL without an error. */
struct mr_param *mr_param_find(const struct mr_params *params, const char *prefix, const char *name);

/* Values a new model starts with, philox(seed; init, index of the parameter, element): count floats from
 * `offset` on into out. */
int mr_param_start(const struct mr_params *params, int index, const struct mr_config *cfg, uint64_t seed, size_t offset,
                   size_t count, float *out);

/* Number of elements of all parameters. */
size_t mr_params_elements(const struct mr_params *params);

#endif
