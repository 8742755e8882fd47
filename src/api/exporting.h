/* SPDX-License-Identifier: GPL-3.0-or-later
 * Writing models into files: what a file is to become, the tokenizer that goes along, telling and stopping. */
#ifndef MR_API_EXPORTING_H
#define MR_API_EXPORTING_H

#include "formats/export.h"
#include "formats/load.h"
#include "microrwkv/microrwkv.h"

/* Target and dtype of OUT; `to` and `dtype` may be NULL. MR_EINVAL: no such layout, no such dtype. */
int mr_exporting_options(const char *out, const char *to, const char *dtype, struct mr_export_options *options);

/* The tokenizer that goes along: --tokenizer's, else the model's own; *json NULL: none. It must fit the model. */
int mr_exporting_tokenizer(const char *spec, const char *in, const struct mr_model_file *file,
                           const struct mr_config *cfg, json_t **json);

/* Writes what was planned; `how` is told and asked. MR_EINTERRUPTED: nothing is left. */
int mr_exporting_write(struct mr_export *e, mr_tensor_file *source, const char *out, const json_t *tokenizer,
                       const struct mr_convert_options *how);

/* Told after the file was written. */
typedef int mr_exporting_done(void *context, const struct mr_export *e);

/* mr_convert with overrides as JSON (an object, or NULL) in place of how->config, and done (or NULL), which gets
 * how->context. */
int mr_exporting_convert(const char *in, const char *out, const json_t *overrides, const struct mr_convert_options *how,
                         mr_exporting_done *done);

#endif
