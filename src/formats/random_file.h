/* SPDX-License-Identifier: GPL-3.0-or-later
 * A new model as a file of tensors that exists only as it is read: the numbers that mr_model_start gives, computed
 * piece by piece by all cores. */
#ifndef MR_FORMATS_RANDOM_FILE_H
#define MR_FORMATS_RANDOM_FILE_H

#include "formats/names.h"

int mr_random_open(mr_tensor_file **file, const struct mr_config *cfg, uint64_t seed, struct mr_naming *naming);

#endif
