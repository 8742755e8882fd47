/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a model file holds: what `info` adds to the public interface. */
#ifndef MR_API_INFO_H
#define MR_API_INFO_H

#include <stdbool.h>

#include "base/settings.h"
#include "model/tuning.h"
#include "microrwkv/microrwkv.h"

struct mr_info_options {
    const char *precision;     /* of the decoding plan: as mr_lm_options */
    const char *const *config; /* as mr_lm_options */
    bool tensors;              /* every tensor with its statistics: the whole file is read */
    bool plan;                 /* memory plans too; then a size known by name ("gpt2-xl") will do */
    int batch;                 /* of the training plan */
    struct mr_tuning tuning;   /* of it too */
    bool recompute;            /* as the training key of that name, for the same */
    /* Called while tensors are read; or NULL. */
    void (*progress)(void *context, size_t done, size_t all);
    void *context;
};

struct mr_info_tensor {
    char *name;
    const char *dtype;
    int ndim;
    int64_t shape[8];
    uint64_t finite, nans, infinite; /* numbers of each kind */
    double min, max, mean, std;      /* of those that are finite; none: 0 */
};

struct mr_info {
    const char *family, *mode; /* mode: "causal", or "reference" */
    struct mr_settings config;
    uint64_t parameters, parameters_without_embeddings;
    bool plans, is_file;            /* is_file: the six below are of the file; else there is none, only a name */
    struct mr_settings precision;   /* parameters that are stored in each number format */
    struct mr_settings tokenizer;   /* "kind", "vocab_size"; empty: none inside */
    struct mr_settings training;    /* the training state without the settings; empty: none */
    struct mr_info_tensor *tensors; /* [tensor_count], or NULL where not asked for */
    size_t tensor_count;
    char digest[33]; /* XXH3-128 over the bytes of all tensors in the order of their names */
    struct mr_settings training_plan, decoding_plan; /* bytes by purpose, "total" last; empty: it cannot be done */
};

/* Reads a MODEL of the command line. The caller frees info, also after an error. MR_EFILE, MR_EINVAL as mr_lm_open.
 * Needs no device. */
int mr_model_info(const char *model, const struct mr_info_options *options, struct mr_info *info);
void mr_info_free(struct mr_info *info); /* {0} is fine */

#endif
