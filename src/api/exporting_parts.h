/* SPDX-License-Identifier: GPL-3.0-or-later
 * What convert.c and new.c share. */
#ifndef MR_API_EXPORTING_PARTS_H
#define MR_API_EXPORTING_PARTS_H

#include "api/exporting.h"
#include "formats/export.h"
#include "formats/load.h"

/* Target and dtype of OUT, from how->to and how->dtype. MR_EINVAL: no such layout, no such dtype. */
int mr_exporting_options(const char *out, const struct mr_convert_options *how, struct mr_export_options *options);

/* The tokenizer that goes along: how->tokenizer's, else the model's own, `stored` (or NULL), else that of the folder
 * `in`; *tokenizer NULL: none. It must fit the model. */
int mr_exporting_tokenizer(const struct mr_convert_options *how, const char *in, const mr_stored_tokenizer *stored,
                           const struct mr_config *cfg, mr_stored_tokenizer **tokenizer);

/* Writes what was planned. MR_EINTERRUPTED: nothing is left. */
int mr_exporting_write(struct mr_export *e, mr_tensor_file *source, const char *out,
                       const mr_stored_tokenizer *tokenizer, const struct mr_convert_options *how,
                       mr_exporting_done *done);

#endif
