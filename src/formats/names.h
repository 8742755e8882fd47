/* SPDX-License-Identifier: GPL-3.0-or-later
 * Which model a file of tensors holds: recognised by the names and shapes of its tensors and by what it says of itself.
 */
#ifndef MR_FORMATS_NAMES_H
#define MR_FORMATS_NAMES_H

#include "io/tensor_file.h"
#include "formats/layout.h"

/* How a file names the parameters. */
struct mr_naming {
    int layout; /* enum mr_layout_id */
    const struct mr_name_rule *rules;
    char prefix[64]; /* what a program put before all names: "model._orig_mod." */
};

/* Family and configuration: from the metadata where it says them, else from names and shapes. What neither gives may
 * be in `overrides` (or NULL), which the caller lays over it. MR_EFILE: no known model, or a contradiction;
 * MR_EINVAL: the number of attention heads is unknown. */
int mr_recognise(mr_tensor_file *source, const struct mr_settings *overrides, struct mr_config *cfg,
                 struct mr_naming *naming);

/* The tensor that holds parameter `name`, and in what form (place may be NULL); -1: none. */
int64_t mr_naming_find(mr_tensor_file *source, const struct mr_naming *naming, const char *name,
                       struct mr_place *place);

/* That the file has all parameters and, where the model's names are, no other tensors: those are listed (MR_EFILE).
 * Tensors elsewhere are none of the model's business. */
int mr_check_names(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_params *params,
                   const struct mr_config *cfg);

/* Whether a name (behind the prefix) is one that a model's parameters have. */
bool mr_is_model_name(const struct mr_naming *naming, const char *name);

/* Prefix and layout of the names alone; MR_EFILE: of no known model. The rules are those of no family yet. */
int mr_naming_of(mr_tensor_file *source, struct mr_naming *naming);

/* Whether a model may lack this parameter, which then is 0: block 0 of RWKV-7 has v0, v1, v2 but no use for them. */
bool mr_may_be_missing(const struct mr_config *cfg, const char *name);

/* Elements of a tensor; 0: not a shape. */
int64_t mr_tensor_elements(const struct mr_file_tensor *tensor);

#endif
