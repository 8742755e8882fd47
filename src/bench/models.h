/* SPDX-License-Identifier: GPL-3.0-or-later
 * The models that are measured: by name and size with random weights, or files. */
#ifndef MR_BENCH_MODELS_H
#define MR_BENCH_MODELS_H

#include "infer/lm.h"

struct mr_bench_model {
    char *label;
    char *path; /* NULL: by name */
    struct mr_config cfg;
};

/* The models that a word of a list names: a file or folder; a name of `new`, with changes behind it
 * ("gpt2:n_layer=2:bias=False"); or a group ("published"). Models by name hold texts of `positions` tokens where their
 * attention or their positions limit that. MR_EINVAL names the nearest one. */
int mr_bench_models(const char *word, int64_t positions, struct mr_bench_model **list, int *count);
void mr_bench_models_free(struct mr_bench_model *list, int count);
/* What may stand in a list, for --help: the i-th line, NULL past the last. */
const char *mr_bench_models_help(int i);

/* The model on a device, for so many texts at once. precision: enum mr_element, or MR_PRECISION_OF_FILE. MR_ENOMEM
 * says what is missing, by the plan of its memory or by the device. */
int mr_bench_model_open(mr_model **model, mr_runtime *rt, const struct mr_bench_model *m, int precision, int texts);

/* ---- fill.c --------------------------------------------------------------------------------------------------- */

/* Weights for measuring: as they are initialised in small tensors, in large ones a piece of it over and over. */
int mr_bench_fill(mr_model *model);

#endif
