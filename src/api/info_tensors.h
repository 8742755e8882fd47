/* SPDX-License-Identifier: GPL-3.0-or-later
 * Statistics of tensors. */
#ifndef MR_API_INFO_TENSORS_H
#define MR_API_INFO_TENSORS_H

#include "api/info.h"
#include "io/tensor_file.h"

/* info->tensors, of all tensors of the file. */
int mr_info_tensors(mr_tensor_file *file, const struct mr_info_options *options, struct mr_info *info);

#endif
