/* SPDX-License-Identifier: GPL-3.0-or-later
 * The names that a pickle may ask for, and the tensors they make. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/pickle_machine.h"

enum name_use { NAME_DICT, NAME_SIZE, NAME_TENSOR, NAME_PARAMETER, NAME_STORAGE };

static const struct {
    const char *name; /* module.name */
    enum name_use use;
    enum mr_dtype dtype;
} names[] = {
    {"collections.OrderedDict", NAME_DICT, 0},
    {"torch.Size", NAME_SIZE, 0},
    {"torch._utils._rebuild_tensor_v2", NAME_TENSOR, 0},
    {"torch._utils._rebuild_parameter", NAME_PARAMETER, 0},
    {"torch.FloatStorage", NAME_STORAGE, MR_DTYPE_F32},
    {"torch.HalfStorage", NAME_STORAGE, MR_DTYPE_F16},
    {"torch.BFloat16Storage", NAME_STORAGE, MR_DTYPE_BF16},
    {"torch.DoubleStorage", NAME_STORAGE, MR_DTYPE_F64},
    {"torch.LongStorage", NAME_STORAGE, MR_DTYPE_I64},
    {"torch.IntStorage", NAME_STORAGE, MR_DTYPE_I32},
    {"torch.ShortStorage", NAME_STORAGE, MR_DTYPE_I16},
    {"torch.CharStorage", NAME_STORAGE, MR_DTYPE_I8},
    {"torch.ByteStorage", NAME_STORAGE, MR_DTYPE_U8},
    {"torch.BoolStorage", NAME_STORAGE, MR_DTYPE_BOOL},
};

enum { NAMES = sizeof names / sizeof *names };

const char *mr_pickle_storage_name(enum mr_dtype dtype)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].use == NAME_STORAGE && names[i].dtype == dtype)
            return names[i].name + strlen("torch.");
    return NULL;
}

static int push_name(struct mr_pickle_machine *m, const char *module, size_t module_size, const char *name,
                     size_t name_size)
{
    char full[256];
    int n = snprintf(full, sizeof full, "%.*s.%.*s", (int)(module_size < 120 ? module_size : 120), module,
                     (int)(name_size < 120 ? name_size : 120), name);
    for (int i = 0; i < n; i++)
        if ((unsigned char)full[i] < 32 || (unsigned char)full[i] > 126)
            full[i] = '?';
    for (int i = 0; i < NAMES; i++)
        if (!strcmp(names[i].name, full)) {
            struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_NAME);
            if (value)
                value->name = (uint32_t)i;
            return mr_pickle_push(m, value);
        }
    return mr_pickle_fail(m, "it asks for '%s', which is not plain data or a tensor; refused, nothing was run", full);
}

static int read_line(struct mr_pickle_machine *m, const char **text, size_t *size)
{
    const uint8_t *line = m->p, *end = memchr(line, '\n', (size_t)(m->end - line));
    if (!end)
        return mr_pickle_fail(m, "it ends within a name");
    *text = (const char *)line;
    *size = (size_t)(end - line);
    m->p = end + 1;
    return 0;
}

int mr_pickle_global(struct mr_pickle_machine *m)
{
    const char *module = NULL, *name = NULL;
    size_t module_size = 0, name_size = 0;
    MR_TRY(read_line(m, &module, &module_size));
    MR_TRY(read_line(m, &name, &name_size));
    return push_name(m, module, module_size, name, name_size);
}

int mr_pickle_stack_global(struct mr_pickle_machine *m)
{
    const struct mr_pickled *name = mr_pickle_peek(m, 0), *module = mr_pickle_peek(m, 1);
    if (!name || !module || name->kind != MR_PICKLED_TEXT || module->kind != MR_PICKLED_TEXT)
        return mr_pickle_fail(m, "a name that is no text");
    m->stack.count -= 2;
    return push_name(m, module->text, module->size, name->text, name->size);
}

/* ('storage', class, key, location, count) */
int mr_pickle_persistent(struct mr_pickle_machine *m)
{
    const struct mr_pickled *id = mr_pickle_peek(m, 0);
    if (!id || id->kind != MR_PICKLED_TUPLE || id->count < 5)
        return mr_pickle_fail(m, "a storage is not described as torch does it");
    struct mr_pickled **it = id->items, *value;
    if (it[0]->kind != MR_PICKLED_TEXT || it[0]->size != 7 || memcmp(it[0]->text, "storage", 7) ||
        it[1]->kind != MR_PICKLED_NAME || names[it[1]->name].use != NAME_STORAGE || it[2]->kind != MR_PICKLED_TEXT ||
        it[4]->kind != MR_PICKLED_INT || it[4]->integer < 0)
        return mr_pickle_fail(m, "a storage is not described as torch does it");
    struct mr_pickled_storage *storage = mr_alloc(1, sizeof *storage);
    if (!storage || !(value = mr_pickle_make(m, MR_PICKLED_STORAGE))) {
        free(storage);
        return MR_ENOMEM;
    }
    *storage = (struct mr_pickled_storage){names[it[1]->name].dtype, it[2], it[4]->integer};
    value->storage = storage;
    m->stack.count--;
    return mr_pickle_push(m, value);
}

static int read_dims(struct mr_pickle_machine *m, const struct mr_pickled *tuple, int64_t *dims)
{
    for (uint32_t i = 0; i < tuple->count; i++) {
        if (tuple->items[i]->kind != MR_PICKLED_INT || tuple->items[i]->integer < 0)
            return mr_pickle_fail(m, "the size or stride of a tensor is not a whole number");
        dims[i] = tuple->items[i]->integer;
    }
    return 0;
}

/* (storage, offset, size, stride, requires_grad, hooks) */
static int rebuild_tensor(struct mr_pickle_machine *m, const struct mr_pickled *args)
{
    struct mr_pickled **it = args->items, *value;
    if (args->count < 6 || it[0]->kind != MR_PICKLED_STORAGE || it[1]->kind != MR_PICKLED_INT ||
        it[2]->kind != MR_PICKLED_TUPLE || it[3]->kind != MR_PICKLED_TUPLE || it[2]->count != it[3]->count)
        return mr_pickle_fail(m, "a tensor is not described as torch does it");
    if (it[2]->count > MR_PICKLED_DIMS)
        return mr_pickle_fail(m, "a tensor has %u dimensions, where at most %d are possible", it[2]->count,
                              MR_PICKLED_DIMS);
    struct mr_pickled_tensor t = {.storage = it[0]->storage, .ndim = (int)it[2]->count, .offset = it[1]->integer};
    MR_TRY(read_dims(m, it[2], t.shape));
    MR_TRY(read_dims(m, it[3], t.stride));
    int64_t last = t.offset, step;
    bool empty = false, wrong = t.offset < 0;
    for (int i = 0; i < t.ndim; i++) {
        empty = empty || !t.shape[i];
        wrong = wrong || (t.shape[i] && (__builtin_mul_overflow(t.shape[i] - 1, t.stride[i], &step) ||
                                         __builtin_add_overflow(last, step, &last)));
    }
    if (wrong || (!empty && last >= t.storage->count))
        return mr_pickle_fail(m, "a tensor reaches beyond its storage of %lld numbers", (long long)t.storage->count);
    if (!(value = mr_pickle_make(m, MR_PICKLED_TENSOR)))
        return MR_ENOMEM;
    if (!(value->tensor = mr_alloc(1, sizeof t)))
        return MR_ENOMEM;
    *value->tensor = t;
    return mr_pickle_push(m, value);
}

int mr_pickle_reduce(struct mr_pickle_machine *m)
{
    const struct mr_pickled *args = mr_pickle_peek(m, 0), *name = mr_pickle_peek(m, 1);
    if (!args || !name || args->kind != MR_PICKLED_TUPLE || name->kind != MR_PICKLED_NAME)
        return mr_pickle_fail(m, "it calls something that is not a name");
    enum name_use use = names[name->name].use;
    m->stack.count -= 2;
    if (use == NAME_DICT && args->count == 0)
        return mr_pickle_push(m, mr_pickle_make(m, MR_PICKLED_DICT));
    if (use == NAME_SIZE && args->count == 1 && args->items[0]->kind == MR_PICKLED_TUPLE)
        return mr_pickle_push(m, args->items[0]);
    if (use == NAME_TENSOR)
        return rebuild_tensor(m, args);
    if (use == NAME_PARAMETER && args->count >= 1 && args->items[0]->kind == MR_PICKLED_TENSOR)
        return mr_pickle_push(m, args->items[0]);
    return mr_pickle_fail(m, "it calls '%s' in a way that torch does not", names[name->name].name);
}

/* State of an object: torch gives dictionaries attributes (_metadata), which nobody needs. */
int mr_pickle_build(struct mr_pickle_machine *m)
{
    const struct mr_pickled *object = mr_pickle_peek(m, 1);
    if (!mr_pickle_peek(m, 0) || !object || object->kind != MR_PICKLED_DICT)
        return mr_pickle_fail(m, "it gives a state to something that is no dictionary");
    m->stack.count--;
    return 0;
}
