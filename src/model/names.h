/* SPDX-License-Identifier: GPL-3.0-or-later
 * Which model a file of tensors holds: told by the names and shapes of its tensors and by what it says of itself. */
#ifndef MR_MODEL_NAMES_H
#define MR_MODEL_NAMES_H

#include "io/tensor_file.h"
#include "model/config.h"

/* Family and configuration: from the metadata where it says them, else from names and shapes. What neither tells may
 * be in `overrides` (or NULL), which are laid over it. MR_EFILE: no known model, or a contradiction. */
int mr_recognise(mr_tensor_file *source, const json_t *overrides, struct mr_config *cfg);

/* The tensor that holds parameter `name`, whatever prefix the writer put before it; -1: none. */
int64_t mr_find_parameter(mr_tensor_file *source, const struct mr_config *cfg, const char *name);

#endif
