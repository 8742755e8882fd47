/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files of tensors without numbers, and the warnings of reading them. */
#ifndef LIST_TEST_H
#define LIST_TEST_H

#include "config_test.h"

#include "model/model.h"
#include "formats/names.h"

static char warned[4096];

static inline void keep_warning(void *context, enum mr_log_level level, const char *line)
{
    (void)context;
    size_t used = strlen(warned);
    if (level == MR_LOG_WARNING)
        snprintf(warned + used, sizeof warned - used, "%s\n", line);
}

static const struct mr_tensor_file_format no_data = {"list", NULL, NULL};

static inline mr_tensor_file *empty_file(void)
{
    mr_tensor_file *file;
    assert_ok(mr_tensor_file_create(&file, sizeof *file, &no_data, "a list"));
    return file;
}

static inline void add(mr_tensor_file *file, const char *name, int ndim, const int64_t *shape)
{
    assert_ok(mr_tensor_file_add(file, name, strlen(name), MR_DTYPE_F32, ndim, shape, 0));
}

/* The tensors of a model as a layout names and shapes them, each name behind a prefix; without `but` and `also`. */
static inline mr_tensor_file *list_of(const struct mr_config *cfg, int layout, const char *prefix, const char *but)
{
    struct mr_params params = {0};
    mr_tensor_file *file = empty_file();
    assert_ok(mr_model_declare(&params, cfg));
    for (int i = 0; i < params.count; i++) {
        const struct mr_param *p = params.list[i];
        struct mr_place place;
        char name[300];
        int64_t shape[4];
        assert_true(mr_layout_place(mr_layout_rules(layout, cfg), p->name, 0, &place));
        for (int d = 0; d < p->ndim; d++)
            shape[d] = (int64_t)p->shape[d];
        if (place.change == MR_TRANSPOSED) {
            shape[p->ndim - 1] = (int64_t)p->shape[p->ndim - 2];
            shape[p->ndim - 2] = (int64_t)p->shape[p->ndim - 1];
        }
        if (place.change == MR_JOINED)
            shape[0] = place.parts;
        snprintf(name, sizeof name, "%s%s", prefix, place.name);
        if ((!but || strcmp(p->name, but) != 0) && mr_tensor_file_find(file, name) < 0)
            add(file, name, p->ndim, shape);
    }
    mr_params_free(&params);
    return file;
}

#endif
