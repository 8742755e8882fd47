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

/* Whether it is the class or function of that name. */
static bool is_named(const struct mr_pickled *value, const char *module, const char *name)
{
    const struct mr_pickled_object *o = value->kind == MR_PICKLED_OBJECT ? value->object : NULL;
    return o && o->module->size == strlen(module) && !memcmp(o->module->text, module, o->module->size) &&
           o->name->size == strlen(name) && !memcmp(o->name->text, name, o->name->size);
}

void mr_pickle_full_name(const struct mr_pickled *module, const struct mr_pickled *name, char full[256])
{
    int n = snprintf(full, 256, "%.*s.%.*s", (int)(module->size < 120 ? module->size : 120), module->text,
                     (int)(name->size < 120 ? name->size : 120), name->text);
    for (int i = 0; i < n; i++)
        if ((unsigned char)full[i] < 32 || (unsigned char)full[i] > 126)
            full[i] = '?';
}

static int push_name(struct mr_pickle_machine *m, const struct mr_pickled *module, const struct mr_pickled *name)
{
    char full[256];
    mr_pickle_full_name(module, name, full);
    for (int i = 0; i < NAMES; i++)
        if (!strcmp(names[i].name, full)) {
            struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_NAME);
            if (value)
                value->name = (uint32_t)i;
            return mr_pickle_push(m, value);
        }
    if (is_attack(full))
        return mr_pickle_fail(m, "it asks for '%s', which no model needs; refused, nothing was run", full);
    return mr_pickle_push(m, make_object(m, (struct mr_pickled_object){.module = module, .name = name}));
}

static int read_line(struct mr_pickle_machine *m, struct mr_pickled **text)
{
    const uint8_t *line = m->p, *end = memchr(line, '\n', (size_t)(m->end - line));
    if (!end)
        return mr_pickle_fail(m, "it ends within a name");
    if (!(*text = mr_pickle_make(m, MR_PICKLED_TEXT)))
        return MR_ENOMEM;
    (*text)->text = (const char *)line;
    (*text)->size = (size_t)(end - line);
    m->p = end + 1;
    return 0;
}

int mr_pickle_global(struct mr_pickle_machine *m)
{
    struct mr_pickled *module = NULL, *name = NULL;
    MR_TRY(read_line(m, &module));
    MR_TRY(read_line(m, &name));
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

/* ---- objects of other kinds -------------------------------------------------------------------------------------- */

/* The bytes of a value: as they are, or _codecs.encode(text, "latin1"), as older protocols write them. */
static size_t bytes_of(const struct mr_pickled *v, uint8_t *out, size_t room)
{
    size_t n = 0;
    if (v->kind == MR_PICKLED_BYTES) {
        memcpy(out, v->text, v->size < room ? v->size : room);
        return v->size;
    }
    if (!is_named(v, "_codecs", "encode") || !v->object->args || !v->object->args->count ||
        v->object->args->items[0]->kind != MR_PICKLED_TEXT)
        return 0;
    const uint8_t *p = (const uint8_t *)v->object->args->items[0]->text, *end = p + v->object->args->items[0]->size;
    for (; p < end; n++) {
        bool two = *p >= 0xC2 && *p <= 0xC3 && p + 1 < end;
        if (n < room)
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
        type && is_named(type, "numpy", "dtype") && type->object->args && type->object->args->count
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

/* What calling an object with a name makes. */
static int call(struct mr_pickle_machine *m, const struct mr_pickled *what, const struct mr_pickled *args)
{
    struct mr_pickled *value = NULL;
    struct mr_pickled_object object = *what->object;
    if (is_named(what, "numpy.core.multiarray", "scalar") || is_named(what, "numpy._core.multiarray", "scalar"))
        value = numpy_scalar(m, args);
    if (is_named(what, "torch._tensor", "_rebuild_from_type_v2") && args->count >= 3 &&
        args->items[0]->kind == MR_PICKLED_NAME && names[args->items[0]->name].use == NAME_TENSOR &&
        args->items[2]->kind == MR_PICKLED_TUPLE)
        return rebuild_tensor(m, args->items[2]); /* of a class that is a tensor with something more */
    if ((is_named(what, "builtins", "set") || is_named(what, "__builtin__", "set") ||
         is_named(what, "builtins", "frozenset") || is_named(what, "__builtin__", "frozenset")) &&
        args->count == 1)
        value = args->items[0];
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
    enum name_use use = names[name->name].use;
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
