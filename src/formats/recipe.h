/* SPDX-License-Identifier: GPL-3.0-or-later
 * How the numbers of a tensor come from those of another one: in another form (transposed, its logarithm, a part of
 * several joined), front to back, without ever holding more than a part of a large one. */
#ifndef MR_FORMATS_RECIPE_H
#define MR_FORMATS_RECIPE_H

#include "io/tensor_file.h"
#include "formats/layout.h"

struct mr_recipe {
    size_t tensor;        /* of the source */
    size_t first, count;  /* its elements from `first` on */
    size_t rows, columns; /* rows > 0: matrices [rows, columns], one behind the other, come out transposed */
    int undo, apply;      /* enum mr_change: elementwise, first undo then apply */
};

/* Parameter `p`, found in tensor `tensor` at `place`. MR_EFILE: the tensor's shape is not the parameter's. */
int mr_recipe_of(struct mr_recipe *recipe, const mr_tensor_file *source, size_t tensor, const struct mr_place *place,
                 const struct mr_param *p);

/* Gets `count` elements; `bytes` are floats, or elements as the file stores them. */
typedef int mr_recipe_sink(void *context, const void *bytes, size_t count);

/* Runs the recipe: floats in pieces. With `raw` (only where undo and apply are MR_SAME) bytes as stored, bit for
 * bit. */
int mr_recipe_run(mr_tensor_file *source, const struct mr_recipe *recipe, bool raw, mr_recipe_sink *sink,
                  void *context);

#endif
