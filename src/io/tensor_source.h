/* SPDX-License-Identifier: GPL-3.0-or-later
 * One door to every file of tensors that can be read. */
#ifndef MR_IO_TENSOR_SOURCE_H
#define MR_IO_TENSOR_SOURCE_H

#include "io/tensor_file.h"

/* Opens a file by its content, never by its name. MR_EFILE: of no known format. */
int mr_tensor_source_open(mr_tensor_file **file, const char *path);

#endif
