/* SPDX-License-Identifier: GPL-3.0-or-later
 * Numbers of a file on their way to a tensor on the device, in whatever format that has: some rows at a time, never
 * all of a large tensor. */
#ifndef MR_FORMATS_UPLOAD_H
#define MR_FORMATS_UPLOAD_H

#include "formats/recipe.h"
#include "rt/rt.h"

/* The format on the device that keeps a file's numbers as they are; f32 for those that it has no other for. */
enum mr_element mr_element_of(enum mr_dtype dtype);
/* And the file's name for a format on the device. */
enum mr_dtype mr_dtype_of(enum mr_element element);

/* Runs the recipe into `to`, parameter p's tensor. digest (or NULL) is continued over the bytes as they are on the
 * device, before its rows are interleaved. */
int mr_upload(mr_runtime *rt, mr_tensor_file *source, const struct mr_recipe *recipe, const struct mr_param *p,
              const mr_tensor *to, uint64_t *digest);

#endif
