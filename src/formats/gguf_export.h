/* SPDX-License-Identifier: GPL-3.0-or-later
 * What is special about the tensors of GGUF files; for export_plan.c. */
#ifndef MR_FORMATS_GGUF_EXPORT_H
#define MR_FORMATS_GGUF_EXPORT_H

#include "formats/export.h"

/* Whether a parameter is f32 in every file. */
bool mr_gguf_keeps_f32(const struct mr_param *p);
/* The format of a matrix where `wanted` is asked for. */
int mr_gguf_quantised(const struct mr_param *p, int wanted);
/* The dimensions of what has `shape` elsewhere. */
int mr_gguf_shape(const struct mr_param *p, const struct mr_place *place, int64_t *shape, int ndim);
/* The parameter whose numbers are written in the place of p: itself, in all but one case. */
const struct mr_param *mr_gguf_stands_for(const struct mr_export *e, const struct mr_param *p);
/* Zeros for the biases that a GPT-2 does not have. */
int mr_gguf_add_biases(struct mr_export *e);

#endif
