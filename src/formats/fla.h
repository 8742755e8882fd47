/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-7 in Hugging Face folders as the flash-linear-attention project saves it. */
#ifndef MR_FORMATS_FLA_H
#define MR_FORMATS_FLA_H

#include "formats/export.h"

extern const struct mr_name_rule mr_fla_rules[];

/* MR_EFILE: the model is one of the project's other families, named as if it were RWKV-7. */
int mr_fla_check(const mr_tensor_file *source, const char *prefix);
/* Dimensions of what has `shape` elsewhere: vectors have one, but for the mixtures. */
int mr_fla_shape(const struct mr_param *p, int64_t *shape, int ndim);
/* config.json; NULL: out of memory. */
json_t *mr_fla_config(const struct mr_config *cfg);
/* The epsilon of the heads' norm follows from norm_eps, which is for the width of one number. */
void mr_fla_apply(struct mr_config *cfg, const json_t *said);

#endif
