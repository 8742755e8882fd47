/* SPDX-License-Identifier: GPL-3.0-or-later
 * The pickle is written first, as all sizes are known, then one stored file per tensor. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/pickle.h"
#include "io/torch_file.h"
#include "io/zip_writer.h"

struct torch_writer {
    mr_tensor_writer base;
    struct mr_zip_writer zip;
};

/* ---- the pickle (protocol 2, as torch writes it, without memos) ---- */

/* What is being written, and the tensors with their places in names. */
struct pickler {
    struct mr_str *out;
    const struct mr_file_tensor *tensors;
    size_t count;
};

static int put(struct mr_str *s, const char *operations)
{
    return mr_str_append(s, operations, strlen(operations));
}

static int put_text(struct mr_str *s, const char *text, size_t size)
{
    uint32_t n = (uint32_t)size;
    MR_TRY(put(s, "X"));
    MR_TRY(mr_str_append(s, &n, 4));
    return mr_str_append(s, text, size);
}

static int put_int(struct mr_str *s, int64_t n)
{
    if (n >= INT32_MIN && n <= INT32_MAX) {
        int32_t small = (int32_t)n;
        MR_TRY(put(s, "J"));
        return mr_str_append(s, &small, 4);
    }
    MR_TRY(mr_str_append(s, "\x8a\x08", 2));
    return mr_str_append(s, &n, 8);
}

static int put_real(struct mr_str *s, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    bits = __builtin_bswap64(bits);
    MR_TRY(put(s, "G"));
    return mr_str_append(s, &bits, 8);
}

/* torch._utils._rebuild_tensor_v2(storage, 0, shape, stride, False, OrderedDict()) */
static int put_tensor(struct pickler *p, size_t i)
{
    struct mr_str *s = p->out;
    const struct mr_file_tensor *t = &p->tensors[i];
    size_t count, bytes;
    char key[24];
    int64_t stride[MR_MOST_DIMS], step = 1;
    MR_TRY(mr_file_tensor_size(t, &count, &bytes));
    snprintf(key, sizeof key, "%lld", (long long)(t->shares < 0 ? (int64_t)i : t->shares));
    for (int k = t->ndim; k-- > 0; step *= t->shape[k] ? t->shape[k] : 1)
        stride[k] = step;
    MR_TRY(put(s, "ctorch._utils\n_rebuild_tensor_v2\n(("));
    MR_TRY(put_text(s, "storage", 7));
    MR_TRY(mr_str_printf(s, "ctorch\n%s\n", mr_pickle_storage_name(t->dtype)));
    MR_TRY(put_text(s, key, strlen(key)));
    MR_TRY(put_text(s, "cpu", 3));
    MR_TRY(put_int(s, (int64_t)count));
    MR_TRY(put(s, "tQK"));
    MR_TRY(mr_str_append(s, "\0(", 2));
    for (int k = 0; k < t->ndim; k++)
        MR_TRY(put_int(s, t->shape[k]));
    MR_TRY(put(s, "t("));
    for (int k = 0; k < t->ndim; k++)
        MR_TRY(put_int(s, stride[k]));
    return put(s, "t\x89"
                  "ccollections\nOrderedDict\n)RtR");
}

static int put_json(struct mr_str *s, const json_t *json);
static int put_entries(struct mr_str *s, const json_t *object, const char *but);

static int put_array(struct mr_str *s, const json_t *array, const char *begin, const char *end)
{
    size_t i;
    json_t *item;
    MR_TRY(put(s, begin));
    json_array_foreach(array, i, item)
        MR_TRY(put_json(s, item));
    return put(s, end);
}

/* One entry of a dictionary. torch's optimizers keep their betas as a tuple. */
static int put_entry(struct mr_str *s, const char *key, const json_t *value)
{
    MR_TRY(put_text(s, key, strlen(key)));
    if (!strcmp(key, "betas") && json_is_array(value))
        return put_array(s, value, "(", "t");
    return put_json(s, value);
}

static int put_json(struct mr_str *s, const json_t *json)
{
    static const struct {
        const char *text;
        double value;
    } special[] = {{"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}};
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        MR_TRY(put(s, "}("));
        MR_TRY(put_entries(s, json, NULL));
        return put(s, "u");
    case JSON_ARRAY:
        return put_array(s, json, "](", "e");
    case JSON_STRING:
        for (size_t i = 0; i < sizeof special / sizeof *special; i++)
            if (!strcmp(json_string_value(json), special[i].text))
                return put_real(s, special[i].value);
        return put_text(s, json_string_value(json), json_string_length(json));
    case JSON_INTEGER:
        return put_int(s, json_integer_value(json));
    case JSON_REAL:
        return put_real(s, json_real_value(json));
    case JSON_TRUE:
        return put(s, "\x88");
    case JSON_FALSE:
        return put(s, "\x89");
    default:
        return put(s, "N");
    }
}

/* The entries of an object (or of none), but for one. */
static int put_entries(struct mr_str *s, const json_t *object, const char *but)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (!but || strcmp(key, but))
            MR_TRY(put_entry(s, key, value));
    }
    return 0;
}

static const char model_prefix[] = "model.", state_prefix[] = "optimizer.state.";

static bool begins_with(const char *name, const char *prefix)
{
    return !strncmp(name, prefix, strlen(prefix));
}

/* Entries for the tensors whose names begin so, by the rest of their names. */
static int put_tensors(struct pickler *p, const char *prefix)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->tensors[i].name;
        if (!begins_with(name, prefix))
            continue;
        name += strlen(prefix);
        MR_TRY(put_text(p->out, name, strlen(name)));
        MR_TRY(put_tensor(p, i));
    }
    return 0;
}

/* The number that begins a text and ends before `after`, or -1. */
static int64_t leading_number(const char *text, char after)
{
    char *end = NULL;
    long long n = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : -1;
    return n >= 0 && n <= INT32_MAX && *end == after ? n : -1;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The numbers N of the tensors optimizer.state.N.* and of the keys of `known`, in order, each once or more.
 */
static int list_numbers(const struct pickler *p, const json_t *known, int64_t *list, size_t *n)
{
    const char *key;
    json_t *value;
    *n = 0;
    for (size_t i = 0; i < p->count; i++) {
        const char *name = p->tensors[i].name;
        if (!begins_with(name, state_prefix))
            continue;
        if ((list[(*n)++] = leading_number(name + strlen(state_prefix), '.')) < 0)
            return mr_fail(MR_EINVAL, "tensor \"%s\" is not named as optimizer.state.N.KEY", name);
    }
    json_object_foreach((json_t *)(uintptr_t)known, key, value)
        if ((list[(*n)++] = leading_number(key, 0)) < 0)
            return mr_fail(MR_EINVAL, "\"%s\" of the optimizer's state is not a number", key);
    qsort(list, *n, sizeof *list, by_number);
    return 0;
}

/* {N: {"exp_avg": tensor, ...}}, with what the metadata has for N besides. */
static int put_state(struct pickler *p, const json_t *known)
{
    int64_t *list = mr_alloc(p->count + json_object_size(known), sizeof *list);
    int err;
    size_t n = 0;
    MR_GO(list ? 0 : MR_ENOMEM);
    MR_GO(list_numbers(p, known, list, &n));
    MR_GO(put(p->out, "}("));
    for (size_t i = 0; i < n; i++) {
        char prefix[48];
        if (i && list[i] == list[i - 1])
            continue;
        snprintf(prefix, sizeof prefix, "%s%lld.", state_prefix, (long long)list[i]);
        MR_GO(put_int(p->out, list[i]));
        MR_GO(put(p->out, "}("));
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)list[i]);
        MR_GO(put_entries(p->out, json_object_get(known, number), NULL));
        MR_GO(put_tensors(p, prefix));
        MR_GO(put(p->out, "u"));
    }
    MR_GO(put(p->out, "u"));
fail:
    free(list);
    return err;
}

static bool any_tensor(const struct pickler *p, const char *prefix)
{
    for (size_t i = 0; i < p->count; i++)
        if (begins_with(p->tensors[i].name, prefix))
            return true;
    return false;
}

/* The tensors that stand directly in the outermost dictionary: that of this name (where the metadata has its
 * number, too), or with NULL all that the metadata does not have. */
static int put_outermost(struct pickler *p, const json_t *metadata, const char *name, bool *found)
{
    for (size_t i = 0; i < p->count; i++) {
        const char *own = p->tensors[i].name;
        if (name ? strcmp(own, name)
                 : begins_with(own, model_prefix) || begins_with(own, state_prefix) || json_object_get(metadata, own))
            continue;
        *found = true;
        MR_TRY(put_text(p->out, own, strlen(own)));
        MR_TRY(put_tensor(p, i));
    }
    return 0;
}

static int put_checkpoint(struct pickler *p, const json_t *metadata)
{
    struct mr_str *s = p->out;
    const json_t *model = json_object_get(metadata, "model"), *optimizer = json_object_get(metadata, "optimizer");
    bool has_model = any_tensor(p, model_prefix),
         has_state = any_tensor(p, state_prefix) || json_object_get(optimizer, "state"), found = false;
    const char *key;
    json_t *value;
    if (has_model) {
        MR_TRY(put_text(s, "model", 5));
        MR_TRY(put(s, "}("));
        MR_TRY(put_entries(s, model, NULL));
        MR_TRY(put_tensors(p, model_prefix));
        MR_TRY(put(s, "u"));
    }
    if (has_state) {
        MR_TRY(put_text(s, "optimizer", 9));
        MR_TRY(put(s, "}("));
        MR_TRY(put_text(s, "state", 5));
        MR_TRY(put_state(p, json_object_get(optimizer, "state")));
        MR_TRY(put_entries(s, optimizer, "state"));
        MR_TRY(put(s, "u"));
    }
    json_object_foreach((json_t *)(uintptr_t)metadata, key, value) {
        if ((has_model && !strcmp(key, "model")) || (has_state && !strcmp(key, "optimizer")))
            continue;
        found = false;
        MR_TRY(put_outermost(p, metadata, key, &found));
        if (!found)
            MR_TRY(put_entry(s, key, value));
    }
    return put_outermost(p, metadata, NULL, &found);
}

static int put_pickle(struct pickler *p, const json_t *metadata)
{
    MR_TRY(put(p->out, "\x80\x02}("));
    if (json_object_size(metadata))
        MR_TRY(put_checkpoint(p, metadata));
    else
        MR_TRY(put_tensors(p, ""));
    return put(p->out, "u.");
}

/* ---- the archive ---- */

static int begin_tensor(mr_tensor_writer *writer, size_t i)
{
    struct torch_writer *w = (struct torch_writer *)writer;
    char name[64];
    size_t count, bytes;
    MR_TRY(mr_file_tensor_size(&writer->tensors[i], &count, &bytes));
    snprintf(name, sizeof name, "archive/data/%zu", i);
    return mr_zip_begin(&w->zip, name, bytes);
}

static int append(mr_tensor_writer *writer, const void *data, size_t size)
{
    return mr_zip_append(&((struct torch_writer *)writer)->zip, data, size);
}

static int end_tensor(mr_tensor_writer *writer, size_t i)
{
    (void)i;
    return mr_zip_end(&((struct torch_writer *)writer)->zip);
}

static int add_file(struct torch_writer *w, const char *name, const void *data, size_t size)
{
    MR_TRY(mr_zip_begin(&w->zip, name, size));
    MR_TRY(mr_zip_append(&w->zip, data, size));
    return mr_zip_end(&w->zip);
}

static int finish(mr_tensor_writer *writer)
{
    struct torch_writer *w = (struct torch_writer *)writer;
    MR_TRY(add_file(w, "archive/version", "3\n", 2));
    return mr_zip_finish(&w->zip);
}

static void close_writer(mr_tensor_writer *writer)
{
    mr_zip_free(&((struct torch_writer *)writer)->zip);
}

static const struct mr_tensor_writer_format format = {.name = "torch",
                                                      .can_share = true,
                                                      .begin_tensor = begin_tensor,
                                                      .append = append,
                                                      .end_tensor = end_tensor,
                                                      .finish = finish,
                                                      .close = close_writer};

int mr_torch_begin(mr_tensor_writer **result, const char *path, const struct mr_file_tensor *tensors, size_t count,
                   const json_t *metadata)
{
    int err;
    struct torch_writer *w = NULL;
    struct mr_str pickle = {0};
    struct pickler p = {&pickle, tensors, count};
    for (size_t i = 0; i < count; i++)
        if (!mr_pickle_storage_name(tensors[i].dtype))
            return mr_fail(MR_EINVAL, "%s cannot be written: torch files cannot hold %s, which tensor \"%s\" is", path,
                           mr_dtype_name(tensors[i].dtype), tensors[i].name);
    MR_GO(put_pickle(&p, metadata));
    if (pickle.size > MR_PICKLE_LARGEST) {
        err = mr_fail(MR_EINVAL, "%s cannot be written: its data.pkl would have %zu bytes, where at most %d are read",
                      path, pickle.size, MR_PICKLE_LARGEST);
        goto fail;
    }
    MR_GO(mr_tensor_writer_create((mr_tensor_writer **)&w, sizeof *w, &format, path, tensors, count));
    w->zip.out = w->base.out;
    MR_GO(add_file(w, "archive/data.pkl", pickle.text, pickle.size));
    MR_GO(add_file(w, "archive/byteorder", "little", 6));
    MR_GO(mr_tensor_writer_start(&w->base));
    *result = &w->base;
    mr_str_free(&pickle);
    return 0;
fail:
    mr_str_free(&pickle);
    mr_tensor_writer_abort((mr_tensor_writer *)w);
    return err;
}
