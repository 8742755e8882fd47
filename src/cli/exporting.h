/* SPDX-License-Identifier: GPL-3.0-or-later
 * What convert and new share: choosing the target, telling what is not kept, the progress bar. */
#ifndef MR_CLI_EXPORTING_H
#define MR_CLI_EXPORTING_H

#include "formats/export.h"
#include "formats/load.h"

/* Target and dtype of OUT; `to` and `dtype` may be NULL. MR_EINVAL: no such layout, no such dtype. */
int mr_exporting_options(const char *out, const char *to, const char *dtype, struct mr_export_options *options);

/* The tokenizer that goes along: --tokenizer's, else the model's own; *json NULL: none. It must fit the model. */
int mr_exporting_tokenizer(const char *spec, const char *in, const struct mr_model_file *file,
                           const struct mr_config *cfg, json_t **json);

/* Says what is not kept, writes, says what was written (with `as_json` as JSON). */
int mr_exporting_run(struct mr_export *e, mr_tensor_file *source, const char *out, const char *label,
                     const json_t *tokenizer, bool as_json);

#endif
