/* SPDX-License-Identifier: GPL-3.0-or-later
 * The names that a pickle may ask for, and the tensors they make. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/pickle_machine.h"

enum name_use { NAME_DICT, NAME_SIZE, NAME_TENSOR, NAME_TENSOR_V3, NAME_PARAMETER, NAME_STORAGE };

static const struct {
    const char *name; /* module.name */
    enum name_use use;
    enum mr_dtype dtype;
} names[] = {
    {"collections.OrderedDict", NAME_DICT, 0},
    {"torch.Size", NAME_SIZE, 0},
    {"torch._utils._rebuild_tensor_v2", NAME_TENSOR, 0},
    {"torch._utils._rebuild_tensor", NAME_TENSOR, 0},
    {"torch._utils._rebuild_tensor_v3", NAME_TENSOR_V3, 0},
    {"torch._utils._rebuild_parameter", NAME_PARAMETER, 0},
    {"torch._utils._rebuild_parameter_with_state", NAME_PARAMETER, 0},
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
    {"torch.storage.UntypedStorage", NAME_STORAGE, MR_DTYPE_U8},
    {"torch.UntypedStorage", NAME_STORAGE, MR_DTYPE_U8},
};

enum { NAMES = sizeof names / sizeof *names };

const char *mr_pickle_storage_name(enum mr_dtype dtype)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].use == NAME_STORAGE && names[i].dtype == dtype)
            return names[i].name + strlen("torch.");
    return NULL;
}

/* The torch.dtype of this name, or -1: one that is not read. */
static int torch_dtype(const char *name)
{
    static const struct {
        const char *name;
        enum mr_dtype dtype;
    } types[] = {{"float32", MR_DTYPE_F32}, {"float16", MR_DTYPE_F16}, {"bfloat16", MR_DTYPE_BF16},
                 {"float64", MR_DTYPE_F64}, {"int64", MR_DTYPE_I64},   {"int32", MR_DTYPE_I32},
                 {"int16", MR_DTYPE_I16},   {"int8", MR_DTYPE_I8},     {"uint16", MR_DTYPE_U16},
                 {"uint8", MR_DTYPE_U8},    {"bool", MR_DTYPE_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name))
            return (int)types[i].dtype;
    return -1;
}

int mr_pickled_dtype(const struct mr_pickled *value)
{
    char full[256];
    if (value->kind != MR_PICKLED_OBJECT || value->object->args)
        return -1;
    mr_pickle_full_name(value->object->module, value->object->name, full);
    return strncmp(full, "torch.", 6) ? -1 : torch_dtype(full + 6);
}

/* Modules and functions that only an attack asks for. */
static bool is_attack(const char *full)
{
    static const char *const starts[] = {"os.",     "posix.",    "nt.",        "subprocess.", "sys.",
                                         "shutil.", "socket.",   "runpy.",     "importlib.",  "pty.",
                                         "ctypes.", "commands.", "webbrowser."};
    static const char *const builtins[] = {"eval",       "exec",       "execfile", "compile", "open",
                                           "__import__", "breakpoint", "getattr",  "setattr", "input"};
    const char *name = !strncmp(full, "builtins.", 9) ? full + 9 : !strncmp(full, "__builtin__.", 12) ? full + 12 : "";
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        if (!strncmp(full, starts[i], strlen(starts[i])))
            return true;
    for (size_t i = 0; i < sizeof builtins / sizeof *builtins; i++)
        if (!strcmp(name, builtins[i]))
            return true;
    return false;
}

static struct mr_pickled *make_object(struct mr_pickle_machine *m, struct mr_pickled_object object)
{
    struct mr_pickled_object *copy = mr_alloc(1, sizeof *copy);
    struct mr_pickled *value = copy ? mr_pickle_make(m, MR_PICKLED_OBJECT) : NULL;
    if (!value) {
        free(copy);
        return NULL;
    }
    *copy = object;
    value->object = copy;
    return value;
}

/* What becomes of what a name makes, as far as the name alone says it. */
static enum mr_pickle_use use_of(const char *full, int known)
{
    static const char *const data[] = {"numpy.core.multiarray.scalar",
                                       "numpy._core.multiarray.scalar",
                                       "numpy.dtype",
                                       "_codecs.encode",
                                       "builtins.set",
                                       "builtins.frozenset",
                                       "__builtin__.set",
                                       "__builtin__.frozenset",
                                       "copyreg._reconstructor",
                                       "copy_reg._reconstructor",
                                       "torch.device"};
    if (!strncmp(full, "torch.", 6) && torch_dtype(full + 6) >= 0)
        return MR_PICKLE_AS_DATA;
    if (known >= 0)
        return names[known].use <= NAME_SIZE ? MR_PICKLE_AS_DATA : MR_PICKLE_AS_TENSOR;
    if (is_attack(full))
        return MR_PICKLE_REFUSED;
    if (!strcmp(full, "torch._tensor._rebuild_from_type_v2"))
        return MR_PICKLE_AS_TENSOR;
    for (size_t i = 0; i < sizeof data / sizeof *data; i++)
        if (!strcmp(full, data[i]))
            return MR_PICKLE_AS_DATA;
    return MR_PICKLE_LEFT_OUT;
}

static int add_asked(struct mr_pickle_asked *asked, const char *full, int known)
{
    for (size_t i = 0; i < asked->count; i++)
        if (!strcmp(asked->list[i].name, full)) {
            asked->list[i].count++;
            return 0;
        }
    MR_TRY(mr_grow(&asked->list, &asked->capacity, asked->count + 1, sizeof *asked->list));
    struct mr_pickle_global *global = &asked->list[asked->count++];
    *global = (struct mr_pickle_global){.use = use_of(full, known), .count = 1};
    strcpy(global->name, full);
    return 0;
}

static int push_name(struct mr_pickle_machine *m, const struct mr_pickled *module, const struct mr_pickled *name)
{
    char full[256];
    int known = NAMES - 1;
    mr_pickle_full_name(module, name, full);
    while (known >= 0 && strcmp(names[known].name, full) != 0)
        known--;
    if (m->asked)
        MR_TRY(add_asked(m->asked, full, known));
    if (known >= 0) {
        struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_NAME);
        if (value)
            value->name = (uint32_t)known;
        return mr_pickle_push(m, value);
    }
    if (is_attack(full) && !m->asked)
        return mr_pickle_fail(m, "it asks for '%s', which no model needs; refused, nothing was run", full);
    return mr_pickle_push(m, make_object(m, (struct mr_pickled_object){.module = module, .name = name}));
}

int mr_pickle_global(struct mr_pickle_machine *m)
{
    struct mr_pickled *module = NULL, *name = NULL;
    MR_TRY(mr_pickle_line(m, &module));
    MR_TRY(mr_pickle_line(m, &name));
    return push_name(m, module, name);
}

int mr_pickle_stack_global(struct mr_pickle_machine *m)
{
    const struct mr_pickled *name = mr_pickle_peek(m, 0), *module = mr_pickle_peek(m, 1);
    if (!name || !module || name->kind != MR_PICKLED_TEXT || module->kind != MR_PICKLED_TEXT)
        return mr_pickle_fail(m, "a name that is no text");
    m->stack.count -= 2;
    return push_name(m, module, name);
}

/* Bytes of the numbers of a storage that no tensor here is made of; 0: not known. */
static size_t unread_width(const struct mr_pickled *class)
{
    static const struct {
        const char *name;
        size_t width;
    } classes[] = {{"ComplexFloatStorage", 8}, {"ComplexDoubleStorage", 16}, {"QInt8Storage", 1},
                   {"QUInt8Storage", 1},       {"QInt32Storage", 4},         {"QUInt4x2Storage", 1},
                   {"QUInt2x4Storage", 1}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (mr_pickled_is(class, "torch", classes[i].name))
            return classes[i].width;
    return 0;
}

/* ('storage', class, key, location, count), and before torch 1.6 None or (key, offset, count) of a view of it. */
int mr_pickle_persistent(struct mr_pickle_machine *m)
{
    const struct mr_pickled *id = mr_pickle_peek(m, 0);
    if (!id || id->kind != MR_PICKLED_TUPLE || id->count < 5)
        return mr_pickle_fail(m, "a storage is not described as torch does it");
    struct mr_pickled **it = id->items, *value, *view = id->count > 5 ? it[5] : NULL;
    bool known = it[1]->kind == MR_PICKLED_NAME && names[it[1]->name].use == NAME_STORAGE;
    if (it[0]->kind != MR_PICKLED_TEXT || it[0]->size != 7 || memcmp(it[0]->text, "storage", 7) ||
        (!known && it[1]->kind != MR_PICKLED_OBJECT) || it[2]->kind != MR_PICKLED_TEXT ||
        it[4]->kind != MR_PICKLED_INT || it[4]->integer < 0)
        return mr_pickle_fail(m, "a storage is not described as torch does it");
    m->stack.count--;
    struct mr_pickled_storage *storage = mr_alloc(1, sizeof *storage);
    if (!storage || !(value = mr_pickle_make(m, MR_PICKLED_STORAGE))) {
        free(storage);
        return MR_ENOMEM;
    }
    value->storage = storage;
    enum mr_dtype dtype = known ? names[it[1]->name].dtype : MR_DTYPE_U8;
    *storage = (struct mr_pickled_storage){.dtype = dtype,
                                           .width = known ? mr_dtype_block_bytes(dtype) : unread_width(it[1]),
                                           .untyped = known && strstr(names[it[1]->name].name, "Untyped"),
                                           .key = it[2],
                                           .count = it[4]->integer,
                                           .next = m->pickle->storages};
    m->pickle->storages = storage;
    if (!known)
        return mr_pickle_push(m, it[1]);
    if (view && view->kind == MR_PICKLED_TUPLE) {
        if (view->count != 3 || view->items[1]->kind != MR_PICKLED_INT || view->items[2]->kind != MR_PICKLED_INT ||
            view->items[1]->integer < 0 || view->items[2]->integer < 0 ||
            view->items[1]->integer > storage->count - view->items[2]->integer)
            return mr_pickle_fail(m, "the view of a storage is not described as torch does it");
        storage->offset = view->items[1]->integer;
        storage->count = view->items[2]->integer;
    }
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

/* The storage of a tensor: one of bytes becomes one of the type. */
static int typed_storage(struct mr_pickle_machine *m, struct mr_pickled_storage *bytes, int dtype,
                         const struct mr_pickled_storage **typed)
{
    *typed = bytes;
    if (!bytes->untyped || dtype < 0)
        return 0;
    struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_STORAGE);
    if (!value || !(value->storage = mr_alloc(1, sizeof *bytes)))
        return MR_ENOMEM;
    *value->storage = *bytes; /* not in the list of storages: the bytes are */
    value->storage->dtype = (enum mr_dtype)dtype;
    value->storage->count /= (int64_t)mr_dtype_block_bytes((enum mr_dtype)dtype);
    value->storage->next = NULL;
    *typed = value->storage;
    return 0;
}

/* (storage, offset, size, stride, requires_grad, hooks); dtype: of the numbers in a storage of bytes, or -1 */
static int rebuild_tensor(struct mr_pickle_machine *m, const struct mr_pickled *args, int dtype)
{
    struct mr_pickled **it = args->items, *value;
    if (args->count < 4 || it[0]->kind != MR_PICKLED_STORAGE || it[1]->kind != MR_PICKLED_INT ||
        it[2]->kind != MR_PICKLED_TUPLE || it[3]->kind != MR_PICKLED_TUPLE || it[2]->count != it[3]->count)
        return mr_pickle_fail(m, "a tensor is not described as torch does it");
    if (it[2]->count > MR_PICKLED_DIMS)
        return mr_pickle_fail(m, "a tensor has %u dimensions, where at most %d are possible", it[2]->count,
                              MR_PICKLED_DIMS);
    struct mr_pickled_tensor t = {.ndim = (int)it[2]->count, .offset = it[1]->integer};
    MR_TRY(typed_storage(m, it[0]->storage, dtype, &t.storage));
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
    t.offset += t.storage->offset;
    if (!(value = mr_pickle_make(m, MR_PICKLED_TENSOR)))
        return MR_ENOMEM;
    if (!(value->tensor = mr_alloc(1, sizeof t)))
        return MR_ENOMEM;
    *value->tensor = t;
    return mr_pickle_push(m, value);
}

/* ---- objects of other kinds -------------------------------------------------------------------------------------- */

/* The bytes of a value: as they are, or _codecs.encode(text, "latin1"), as older protocols write them. */
static size_t bytes_of(const struct mr_pickled *v, uint8_t *out, size_t capacity)
{
    size_t n = 0;
    if (v->kind == MR_PICKLED_BYTES) {
        memcpy(out, v->text, v->size < capacity ? v->size : capacity);
        return v->size;
    }
    if (!mr_pickled_is(v, "_codecs", "encode") || !v->object->args || !v->object->args->count ||
        v->object->args->items[0]->kind != MR_PICKLED_TEXT)
        return 0;
    const uint8_t *p = (const uint8_t *)v->object->args->items[0]->text, *end = p + v->object->args->items[0]->size;
    for (; p < end; n++) {
        bool two = *p >= 0xC2 && *p <= 0xC3 && p + 1 < end;
        if (n < capacity)
            out[n] = two ? (uint8_t)(*p << 6 | (p[1] & 0x3f)) : *p;
        p += two ? 2 : 1;
    }
    return n;
}

/* numpy's scalar(dtype, bytes) as a number; NULL: of another kind, or out of memory. */
static struct mr_pickled *numpy_scalar(struct mr_pickle_machine *m, const struct mr_pickled *args)
{
    static const struct {
        const char *name;
        enum mr_dtype dtype;
    } types[] = {{"f8", MR_DTYPE_F64}, {"f4", MR_DTYPE_F32}, {"f2", MR_DTYPE_F16}, {"i8", MR_DTYPE_I64},
                 {"i4", MR_DTYPE_I32}, {"i2", MR_DTYPE_I16}, {"i1", MR_DTYPE_I8},  {"u1", MR_DTYPE_U8},
                 {"u2", MR_DTYPE_U16}, {"b1", MR_DTYPE_BOOL}};
    const struct mr_pickled *type = args->count == 2 ? args->items[0] : NULL;
    const struct mr_pickled *name =
        type && mr_pickled_is(type, "numpy", "dtype") && type->object->args && type->object->args->count
            ? type->object->args->items[0]
            : NULL;
    uint8_t raw[8] = {0};
    for (size_t i = 0; name && name->kind == MR_PICKLED_TEXT && i < sizeof types / sizeof *types; i++) {
        enum mr_dtype dtype = types[i].dtype;
        if (name->size != 2 || memcmp(name->text, types[i].name, 2) ||
            bytes_of(args->items[1], raw, sizeof raw) != mr_dtype_block_bytes(dtype))
            continue;
        struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_REAL);
        float x;
        mr_to_f32(dtype, raw, &x, 1);
        if (!value)
            return NULL;
        value->real = (double)x;
        if (dtype == MR_DTYPE_F64)
            memcpy(&value->real, raw, 8);
        if (dtype != MR_DTYPE_F64 && dtype != MR_DTYPE_F32 && dtype != MR_DTYPE_F16) {
            value->kind = MR_PICKLED_INT;
            memcpy(&value->integer, raw, 8);
            if (dtype != MR_DTYPE_I64)
                value->integer = (int64_t)x;
        }
        return value;
    }
    return NULL;
}

/* OrderedDict of Python 2: one list of pairs. NULL: no such list. */
static struct mr_pickled *dict_of_pairs(struct mr_pickle_machine *m, const struct mr_pickled *pairs)
{
    struct mr_pickled *dict = mr_pickle_make(m, MR_PICKLED_DICT);
    bool fits = dict && pairs->kind == MR_PICKLED_LIST && pairs->count < UINT32_MAX / 4;
    if (fits && !(dict->items = mr_alloc(2 * (size_t)pairs->count + 1, sizeof *dict->items)))
        return NULL;
    for (uint32_t i = 0; fits && i < pairs->count; i++) {
        const struct mr_pickled *pair = pairs->items[i];
        fits = (pair->kind == MR_PICKLED_LIST || pair->kind == MR_PICKLED_TUPLE) && pair->count == 2;
        if (fits) {
            memcpy(dict->items + 2 * i, pair->items, 2 * sizeof *pair->items);
            dict->count = dict->capacity = 2 * i + 2;
        }
    }
    return fits ? dict : NULL;
}

/* What calling an object with a name makes. */
static int call(struct mr_pickle_machine *m, const struct mr_pickled *what, const struct mr_pickled *args)
{
    struct mr_pickled *value = NULL;
    struct mr_pickled_object object = *what->object;
    if (mr_pickled_is(what, "numpy.core.multiarray", "scalar") ||
        mr_pickled_is(what, "numpy._core.multiarray", "scalar"))
        value = numpy_scalar(m, args);
    if (mr_pickled_is(what, "torch._tensor", "_rebuild_from_type_v2") && args->count >= 3 &&
        args->items[0]->kind == MR_PICKLED_NAME && names[args->items[0]->name].use == NAME_TENSOR &&
        args->items[2]->kind == MR_PICKLED_TUPLE)
        return rebuild_tensor(m, args->items[2], -1); /* of a class that is a tensor with something more */
    if ((mr_pickled_is(what, "builtins", "set") || mr_pickled_is(what, "__builtin__", "set") ||
         mr_pickled_is(what, "builtins", "frozenset") || mr_pickled_is(what, "__builtin__", "frozenset")) &&
        args->count == 1)
        value = args->items[0];
    if ((mr_pickled_is(what, "copyreg", "_reconstructor") || mr_pickled_is(what, "copy_reg", "_reconstructor")) &&
        args->count && args->items[0]->kind == MR_PICKLED_OBJECT)
        object = *args->items[0]->object; /* an object of this class, whose members come next */
    if (value)
        return mr_pickle_push(m, value);
    object.args = args;
    object.content = NULL;
    return mr_pickle_push(m, make_object(m, object));
}

int mr_pickle_reduce(struct mr_pickle_machine *m)
{
    const struct mr_pickled *args = mr_pickle_peek(m, 0), *name = mr_pickle_peek(m, 1);
    if (!args || !name || args->kind != MR_PICKLED_TUPLE ||
        (name->kind != MR_PICKLED_NAME && name->kind != MR_PICKLED_OBJECT))
        return mr_pickle_fail(m, "it calls something that is not a name");
    m->stack.count -= 2;
    if (name->kind == MR_PICKLED_OBJECT)
        return call(m, name, args);
    struct mr_pickled *value;
    enum name_use use = names[name->name].use;
    if (use == NAME_DICT && args->count == 0)
        return mr_pickle_push(m, mr_pickle_make(m, MR_PICKLED_DICT));
    if (use == NAME_DICT && args->count == 1 && (value = dict_of_pairs(m, args->items[0])))
        return mr_pickle_push(m, value);
    if (use == NAME_SIZE && args->count == 1 && args->items[0]->kind == MR_PICKLED_TUPLE)
        return mr_pickle_push(m, args->items[0]);
    if (use == NAME_TENSOR || use == NAME_TENSOR_V3) {
        int dtype = use == NAME_TENSOR_V3 && args->count >= 7 ? mr_pickled_dtype(args->items[6]) : -1;
        if (args->count &&
            args->items[0]->kind == MR_PICKLED_OBJECT) /* of numbers that are not read: their type's name */
            return mr_pickle_push(m, args->items[0]);
        if (use == NAME_TENSOR_V3 && args->count >= 7 && dtype < 0 && args->items[6]->kind == MR_PICKLED_OBJECT)
            return mr_pickle_push(m, args->items[6]);
        return rebuild_tensor(m, args, dtype);
    }
    if (use == NAME_PARAMETER && args->count >= 1 &&
        (args->items[0]->kind == MR_PICKLED_TENSOR || args->items[0]->kind == MR_PICKLED_OBJECT))
        return mr_pickle_push(m, args->items[0]);
    return mr_pickle_fail(m, "it calls '%s' in a way that torch does not", names[name->name].name);
}

int mr_pickle_new_object(struct mr_pickle_machine *m, uint64_t arguments)
{
    const struct mr_pickled *args = mr_pickle_peek(m, arguments - 1);
    if (!mr_pickle_peek(m, 0) || !args || args->kind != MR_PICKLED_TUPLE)
        return mr_pickle_fail(m, "an object is not made as Python does it");
    m->stack.count -= arguments - 1;
    return mr_pickle_reduce(m);
}

struct mr_pickled *mr_pickle_container(struct mr_pickle_machine *m, struct mr_pickled *value, uint64_t kind)
{
    if (!value || value->kind == (enum mr_pickled_kind)kind)
        return value;
    if (value->kind != MR_PICKLED_OBJECT || !value->object->args)
        return NULL;
    if (!value->object->content)
        value->object->content = mr_pickle_make(m, (enum mr_pickled_kind)kind);
    struct mr_pickled *content = value->object->content;
    return content && content->kind == (enum mr_pickled_kind)kind ? content : NULL;
}

/* State of an object: a dictionary of its members, or a pair of two, as classes with slots have it. torch gives
 * dictionaries attributes (_metadata), which nobody needs. */
int mr_pickle_build(struct mr_pickle_machine *m)
{
    struct mr_pickled *object = mr_pickle_peek(m, 1), *state = mr_pickle_peek(m, 0);
    if (!state || !object || (object->kind != MR_PICKLED_DICT && object->kind != MR_PICKLED_OBJECT))
        return mr_pickle_fail(m, "it gives a state to something that is no object");
    m->stack.count--;
    if (object->kind != MR_PICKLED_OBJECT || object->object->content)
        return 0;
    for (uint32_t i = 0; state->kind == MR_PICKLED_TUPLE && i < state->count && i < 2; i++)
        if (state->items[i]->kind == MR_PICKLED_DICT)
            state = state->items[i];
    if (state->kind == MR_PICKLED_DICT)
        object->object->content = state;
    return 0;
}
