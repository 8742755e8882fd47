/* SPDX-License-Identifier: GPL-3.0-or-later
 * Whether what a command was given is there and makes sense, before it waits for a device. */
#ifndef MR_API_CHECKS_H
#define MR_API_CHECKS_H

#include "microrwkv/microrwkv.h"

/* The name of a precision, or NULL (MR_EINVAL). */
int mr_check_precision(const char *precision);
/* "key=value" words for the configuration of a model, the last one NULL; or NULL (MR_EINVAL). */
int mr_check_config(const char *const *config);
/* A file or folder at the path (MR_EFILE). */
int mr_check_model(const char *model);
/* A folder with train.bin or val.bin (MR_EFILE). */
int mr_check_data(const char *folder);

#endif
