/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "io/pickle_machine.h"

/* Values are carved from blocks; what they point to (item arrays, tensors) is freed with them. */
struct mr_pickle_block {
    struct mr_pickle_block *next;
    size_t used;
    struct mr_pickled values[256];
};

int mr_pickle_fail(const struct mr_pickle_machine *m, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mr_fail(MR_EFILE, "%s: byte %zu of the pickle: %s", m->what, (size_t)(m->p - m->start), text);
}

struct mr_pickled *mr_pickle_make(struct mr_pickle_machine *m, enum mr_pickled_kind kind)
{
    struct mr_pickle_block *block = m->pickle->blocks;
    if (!block || block->used == sizeof block->values / sizeof *block->values) {
        if (!(block = mr_alloc(1, sizeof *block)))
            return NULL;
        block->next = m->pickle->blocks;
        m->pickle->blocks = block;
    }
    struct mr_pickled *value = &block->values[block->used++];
    m->made++;
    value->kind = kind;
    return value;
}

void mr_pickle_free(struct mr_pickle *pickle)
{
    for (struct mr_pickle_block *block = pickle->blocks, *next; block; block = next) {
        next = block->next;
        for (size_t i = 0; i < block->used; i++) {
            struct mr_pickled *v = &block->values[i];
            if (v->kind == MR_PICKLED_LIST || v->kind == MR_PICKLED_TUPLE || v->kind == MR_PICKLED_DICT)
                free(v->items);
            else if (v->kind == MR_PICKLED_OBJECT)
                free(v->object);
            else if (v->kind == MR_PICKLED_TENSOR)
                free(v->tensor);
            else if (v->kind == MR_PICKLED_STORAGE)
                free(v->storage);
        }
        free(block);
    }
    for (struct mr_pickle_text *text = pickle->texts, *next; text; text = next) {
        next = text->next;
        free(text);
    }
    *pickle = (struct mr_pickle){0};
}

/* ---- stack ---- */

int mr_pickle_push(struct mr_pickle_machine *m, struct mr_pickled *value)
{
    struct mr_pickle_pointers *s = &m->stack;
    if (!value)
        return MR_ENOMEM;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        struct mr_pickled **items = mr_realloc(s->items, capacity, sizeof *items);
        if (!items)
            return MR_ENOMEM;
        s->items = items;
        s->capacity = capacity;
    }
    s->items[s->count++] = value;
    return 0;
}

struct mr_pickled *mr_pickle_peek(const struct mr_pickle_machine *m, size_t depth)
{
    if (depth >= m->stack.count)
        return NULL;
    struct mr_pickled *value = m->stack.items[m->stack.count - 1 - depth];
    return value->kind == MR_PICKLED_MARK ? NULL : value;
}

int64_t mr_pickle_above_mark(const struct mr_pickle_machine *m)
{
    for (size_t i = m->stack.count; i-- > 0;)
        if (m->stack.items[i]->kind == MR_PICKLED_MARK)
            return (int64_t)(m->stack.count - 1 - i);
    return -1;
}

int mr_pickle_take(struct mr_pickle_machine *m, struct mr_pickled *into, size_t n)
{
    if (!n)
        return 0;
    if (n > UINT32_MAX / 4 - into->count)
        return mr_pickle_fail(m, "a container is too large");
    uint32_t need = into->count + (uint32_t)n;
    if (need > into->capacity) {
        uint32_t capacity = need > 2 * into->capacity ? need : 2 * into->capacity;
        struct mr_pickled **items = mr_realloc(into->items, capacity, sizeof *items);
        if (!items)
            return MR_ENOMEM;
        into->items = items;
        into->capacity = capacity;
    }
    m->stack.count -= n;
    memcpy(into->items + into->count, m->stack.items + m->stack.count, n * sizeof *into->items);
    into->count = need;
    return 0;
}

int mr_pickle_tuple(struct mr_pickle_machine *m, uint64_t n)
{
    if (n == 0)
        return mr_pickle_push(m, m->shared[MR_PICKLE_UNIT]);
    struct mr_pickled *tuple = mr_pickle_make(m, MR_PICKLED_TUPLE);
    if (!tuple)
        return MR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!mr_pickle_peek(m, i))
            return mr_pickle_fail(m, "a tuple lacks its items");
    MR_TRY(mr_pickle_take(m, tuple, n));
    return mr_pickle_push(m, tuple);
}

/* A tuple, or items for the list or dictionary below the mark. */
static int close_mark(struct mr_pickle_machine *m, uint64_t kind)
{
    int64_t n = mr_pickle_above_mark(m);
    if (n < 0)
        return mr_pickle_fail(m, "a mark is missing");
    if (kind == MR_PICKLED_TUPLE) {
        memmove(&m->stack.items[m->stack.count - 1 - (size_t)n], &m->stack.items[m->stack.count - (size_t)n],
                (size_t)n * sizeof *m->stack.items);
        m->stack.count--;
        return mr_pickle_tuple(m, (size_t)n);
    }
    struct mr_pickled *into = mr_pickle_container(m, mr_pickle_peek(m, (size_t)n + 1), kind);
    if (!into || (kind == MR_PICKLED_DICT && n % 2))
        return mr_pickle_fail(m, "items that belong to no list or dictionary");
    MR_TRY(mr_pickle_take(m, into, (size_t)n));
    m->stack.count--;
    return 0;
}

/* One item for the list or dictionary below it; in a dictionary it is two values. */
static int append_item(struct mr_pickle_machine *m, uint64_t kind)
{
    size_t n = kind == MR_PICKLED_DICT ? 2 : 1;
    struct mr_pickled *into = mr_pickle_container(m, mr_pickle_peek(m, n), kind);
    if (!into || !mr_pickle_peek(m, 0) || !mr_pickle_peek(m, n - 1))
        return mr_pickle_fail(m, "an item that belongs to no list or dictionary");
    return mr_pickle_take(m, into, n);
}

static int remember(struct mr_pickle_machine *m, uint64_t index)
{
    struct mr_pickle_pointers *memo = &m->memo;
    struct mr_pickled *top = mr_pickle_peek(m, 0);
    if (!top || index > (size_t)(m->end - m->start))
        return mr_pickle_fail(m, "a memo of number %llu", (unsigned long long)index);
    while (index >= memo->capacity) {
        size_t capacity = memo->capacity ? memo->capacity * 2 : 256;
        struct mr_pickled **items = mr_realloc(memo->items, capacity, sizeof *items);
        if (!items)
            return MR_ENOMEM;
        memset(items + memo->capacity, 0, (capacity - memo->capacity) * sizeof *items);
        memo->items = items;
        memo->capacity = capacity;
    }
    memo->count += !memo->items[index];
    memo->items[index] = top;
    return 0;
}

static int recall(struct mr_pickle_machine *m, uint64_t index)
{
    if (index >= m->memo.capacity || !m->memo.items[index])
        return mr_pickle_fail(m, "memo %llu was never made", (unsigned long long)index);
    return mr_pickle_push(m, m->memo.items[index]);
}

/* ---- numbers and texts ---- */

static int read_number(struct mr_pickle_machine *m, int bytes, uint64_t *n)
{
    *n = 0;
    if (m->end - m->p < bytes)
        return mr_pickle_fail(m, "it ends within a number");
    for (int i = 0; i < bytes; i++)
        *n |= (uint64_t)m->p[i] << (8 * i);
    m->p += bytes;
    return 0;
}

int mr_pickle_push_int(struct mr_pickle_machine *m, int64_t n)
{
    struct mr_pickled *fresh = NULL, **value = n >= 0 && n < 256 ? &m->small[n] : &fresh;
    if (!*value && (*value = mr_pickle_make(m, MR_PICKLED_INT)))
        (*value)->integer = n;
    return mr_pickle_push(m, *value);
}

int mr_pickle_push_real(struct mr_pickle_machine *m, double x)
{
    struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_REAL);
    if (value)
        value->real = x;
    return mr_pickle_push(m, value);
}

static int push_float(struct mr_pickle_machine *m, uint64_t bits)
{
    double x;
    bits = __builtin_bswap64(bits);
    memcpy(&x, &bits, 8);
    return mr_pickle_push_real(m, x);
}

/* Two's complement of any length. */
static int push_long(struct mr_pickle_machine *m, uint64_t size)
{
    if (size > (uint64_t)(m->end - m->p))
        return mr_pickle_fail(m, "it ends within a number");
    const uint8_t *p = m->p;
    m->p += size;
    int negative = size && p[size - 1] & 0x80;
    if (size <= 8) {
        uint64_t n = negative ? UINT64_MAX : 0;
        for (uint64_t i = 0; i < size; i++)
            n = (n & ~((uint64_t)0xff << (8 * i))) | (uint64_t)p[i] << (8 * i);
        return mr_pickle_push_int(m, (int64_t)n);
    }
    double x = negative ? -1 : 0;
    for (uint64_t i = size; i-- > 0;)
        x = x * 256 + p[i];
    return mr_pickle_push_real(m, x);
}

static int push_bytes(struct mr_pickle_machine *m, enum mr_pickled_kind kind, uint64_t size)
{
    if (size > (uint64_t)(m->end - m->p))
        return mr_pickle_fail(m, "a text of %llu bytes reaches beyond its end", (unsigned long long)size);
    struct mr_pickled *value = mr_pickle_make(m, kind);
    if (value) {
        value->text = (const char *)m->p;
        value->size = (size_t)size;
    }
    m->p += size;
    return mr_pickle_push(m, value);
}

static int push_text(struct mr_pickle_machine *m, uint64_t size)
{
    return push_bytes(m, MR_PICKLED_TEXT, size);
}

static int push_raw(struct mr_pickle_machine *m, uint64_t size)
{
    return push_bytes(m, MR_PICKLED_BYTES, size);
}

static int push_int2(struct mr_pickle_machine *m, uint64_t n)
{
    return mr_pickle_push_int(m, (int64_t)n);
}

static int push_int4(struct mr_pickle_machine *m, uint64_t n)
{
    return mr_pickle_push_int(m, (int32_t)(uint32_t)n);
}

static int check_protocol(struct mr_pickle_machine *m, uint64_t n)
{
    return n > 5 ? mr_pickle_fail(m, "protocol %d is not known", (int)n) : 0;
}

static int ignore(struct mr_pickle_machine *m, uint64_t n)
{
    (void)m, (void)n;
    return 0;
}

/* ---- the machine ---- */

static int push_shared(struct mr_pickle_machine *m, uint64_t which)
{
    return mr_pickle_push(m, m->shared[which]);
}

static int push_new(struct mr_pickle_machine *m, uint64_t kind)
{
    return mr_pickle_push(m, mr_pickle_make(m, (enum mr_pickled_kind)kind));
}

static int pop(struct mr_pickle_machine *m)
{
    return m->stack.count ? (m->stack.count--, 0) : mr_pickle_fail(m, "its stack is empty");
}

static int pop_mark(struct mr_pickle_machine *m)
{
    int64_t n = mr_pickle_above_mark(m);
    m->stack.count -= n < 0 ? 0 : (size_t)n + 1;
    return n < 0 ? mr_pickle_fail(m, "a mark is missing") : 0;
}

static int duplicate(struct mr_pickle_machine *m)
{
    struct mr_pickled *top = mr_pickle_peek(m, 0);
    return top ? mr_pickle_push(m, top) : mr_pickle_fail(m, "its stack is empty");
}

/* Its items as a tuple. */
static int frozen_set(struct mr_pickle_machine *m, uint64_t unused)
{
    (void)unused;
    return close_mark(m, MR_PICKLED_TUPLE);
}

static int memoize(struct mr_pickle_machine *m)
{
    return remember(m, m->memo.count);
}

/* A new list or dictionary of the items above the mark. */
static int close_new(struct mr_pickle_machine *m, uint64_t kind)
{
    int64_t n = mr_pickle_above_mark(m);
    if (n < 0 || (kind == MR_PICKLED_DICT && n % 2))
        return mr_pickle_fail(m, n < 0 ? "a mark is missing" : "items that belong to no list or dictionary");
    struct mr_pickled *value = mr_pickle_make(m, (enum mr_pickled_kind)kind);
    if (!value)
        return MR_ENOMEM;
    MR_TRY(mr_pickle_take(m, value, (size_t)n));
    m->stack.count--;
    return mr_pickle_push(m, value);
}

enum { LINE = 255 };

/* What each byte asks for: an action on the stack alone, or one with a number, which is in the next `bytes`
 * bytes (LINE: in decimal, up to the line's end) or else in the table. What is not here is refused. */
static const struct operation {
    int (*alone)(struct mr_pickle_machine *);
    int (*with)(struct mr_pickle_machine *, uint64_t);
    uint8_t bytes, number;
} operations[256] = {
    [0x80] = {NULL, check_protocol, 1, 0},           /* PROTO */
    [0x95] = {NULL, ignore, 8, 0},                   /* FRAME */
    ['('] = {NULL, push_shared, 0, MR_PICKLE_MARK},  /* MARK */
    ['0'] = {pop, NULL, 0, 0},                       /* POP */
    ['1'] = {pop_mark, NULL, 0, 0},                  /* POP_MARK */
    ['N'] = {NULL, push_shared, 0, MR_PICKLE_NONE},  /* NONE */
    [0x88] = {NULL, push_shared, 0, MR_PICKLE_YES},  /* NEWTRUE */
    [0x89] = {NULL, push_shared, 0, MR_PICKLE_NO},   /* NEWFALSE */
    ['K'] = {NULL, push_int2, 1, 0},                 /* BININT1 */
    ['M'] = {NULL, push_int2, 2, 0},                 /* BININT2 */
    ['J'] = {NULL, push_int4, 4, 0},                 /* BININT */
    [0x8a] = {NULL, push_long, 1, 0},                /* LONG1 */
    [0x8b] = {NULL, push_long, 4, 0},                /* LONG4 */
    ['G'] = {NULL, push_float, 8, 0},                /* BINFLOAT */
    [0x8c] = {NULL, push_text, 1, 0},                /* SHORT_BINUNICODE */
    ['X'] = {NULL, push_text, 4, 0},                 /* BINUNICODE */
    [0x8d] = {NULL, push_text, 8, 0},                /* BINUNICODE8 */
    ['U'] = {NULL, push_text, 1, 0},                 /* SHORT_BINSTRING */
    ['T'] = {NULL, push_text, 4, 0},                 /* BINSTRING */
    ['C'] = {NULL, push_raw, 1, 0},                  /* SHORT_BINBYTES */
    ['B'] = {NULL, push_raw, 4, 0},                  /* BINBYTES */
    [0x8e] = {NULL, push_raw, 8, 0},                 /* BINBYTES8 */
    [0x96] = {NULL, push_raw, 8, 0},                 /* BYTEARRAY8 */
    [']'] = {NULL, push_new, 0, MR_PICKLED_LIST},    /* EMPTY_LIST */
    ['}'] = {NULL, push_new, 0, MR_PICKLED_DICT},    /* EMPTY_DICT */
    [')'] = {NULL, mr_pickle_tuple, 0, 0},           /* EMPTY_TUPLE */
    [0x85] = {NULL, mr_pickle_tuple, 0, 1},          /* TUPLE1 */
    [0x86] = {NULL, mr_pickle_tuple, 0, 2},          /* TUPLE2 */
    [0x87] = {NULL, mr_pickle_tuple, 0, 3},          /* TUPLE3 */
    ['t'] = {NULL, close_mark, 0, MR_PICKLED_TUPLE}, /* TUPLE */
    ['a'] = {NULL, append_item, 0, MR_PICKLED_LIST}, /* APPEND */
    ['e'] = {NULL, close_mark, 0, MR_PICKLED_LIST},  /* APPENDS */
    ['s'] = {NULL, append_item, 0, MR_PICKLED_DICT}, /* SETITEM */
    ['u'] = {NULL, close_mark, 0, MR_PICKLED_DICT},  /* SETITEMS */
    ['c'] = {mr_pickle_global, NULL, 0, 0},          /* GLOBAL */
    [0x81] = {NULL, mr_pickle_new_object, 0, 1},     /* NEWOBJ */
    [0x92] = {NULL, mr_pickle_new_object, 0, 2},     /* NEWOBJ_EX */
    [0x8f] = {NULL, push_new, 0, MR_PICKLED_LIST},   /* EMPTY_SET */
    [0x90] = {NULL, close_mark, 0, MR_PICKLED_LIST}, /* ADDITEMS */
    [0x91] = {NULL, frozen_set, 0, 0},               /* FROZENSET */
    ['2'] = {duplicate, NULL, 0, 0},                 /* DUP */
    [0x93] = {mr_pickle_stack_global, NULL, 0, 0},   /* STACK_GLOBAL */
    ['R'] = {mr_pickle_reduce, NULL, 0, 0},          /* REDUCE */
    ['b'] = {mr_pickle_build, NULL, 0, 0},           /* BUILD */
    ['Q'] = {mr_pickle_persistent, NULL, 0, 0},      /* BINPERSID */
    ['q'] = {NULL, remember, 1, 0},                  /* BINPUT */
    ['r'] = {NULL, remember, 4, 0},                  /* LONG_BINPUT */
    [0x94] = {memoize, NULL, 0, 0},                  /* MEMOIZE */
    ['h'] = {NULL, recall, 1, 0},                    /* BINGET */
    ['j'] = {NULL, recall, 4, 0},                    /* LONG_BINGET */
    ['p'] = {NULL, remember, LINE, 0},               /* PUT; from here on what protocol 0 writes as text */
    ['g'] = {NULL, recall, LINE, 0},                 /* GET */
    ['I'] = {mr_pickle_int_line, NULL, 0, 0},        /* INT */
    ['L'] = {mr_pickle_long_line, NULL, 0, 0},       /* LONG */
    ['F'] = {mr_pickle_float_line, NULL, 0, 0},      /* FLOAT */
    ['S'] = {mr_pickle_string_line, NULL, 0, 0},     /* STRING */
    ['V'] = {mr_pickle_unicode_line, NULL, 0, 0},    /* UNICODE */
    ['l'] = {NULL, close_new, 0, MR_PICKLED_LIST},   /* LIST */
    ['d'] = {NULL, close_new, 0, MR_PICKLED_DICT},   /* DICT */
    ['i'] = {mr_pickle_instance, NULL, 0, 0},        /* INST */
    ['o'] = {mr_pickle_object, NULL, 0, 0},          /* OBJ */
};

static int step(struct mr_pickle_machine *m, uint8_t code)
{
    const struct operation *op = &operations[code];
    uint64_t number = op->number;
    if (op->bytes == LINE)
        MR_TRY(mr_pickle_number_line(m, &number));
    else if (op->bytes)
        MR_TRY(read_number(m, op->bytes, &number));
    if (op->with)
        return op->with(m, number);
    return op->alone ? op->alone(m)
                     : mr_pickle_fail(m, "operation 0x%02x is not one that plain data or torch needs", code);
}

static int run(struct mr_pickle_machine *m)
{
    static const enum mr_pickled_kind kinds[MR_PICKLE_SHARED] = {MR_PICKLED_NONE, MR_PICKLED_BOOL, MR_PICKLED_BOOL,
                                                                 MR_PICKLED_MARK, MR_PICKLED_TUPLE};
    for (int i = 0; i < MR_PICKLE_SHARED; i++)
        if (!(m->shared[i] = mr_pickle_make(m, kinds[i])))
            return MR_ENOMEM;
    m->shared[MR_PICKLE_YES]->truth = true;
    while (m->p < m->end) {
        uint8_t code = *m->p++;
        if (code == '.') {
            if (m->stack.count != 1 || !mr_pickle_peek(m, 0))
                return mr_pickle_fail(m, "it ends with %zu values instead of one", m->stack.count);
            m->pickle->root = mr_pickle_peek(m, 0);
            m->pickle->size = (size_t)(m->p - m->start);
            return 0;
        }
        MR_TRY(step(m, code));
        if (m->made > MR_PICKLE_MOST_VALUES)
            return mr_pickle_fail(m, "it has more than %d values", MR_PICKLE_MOST_VALUES);
    }
    return mr_pickle_fail(m, "it is cut short");
}

static int read_pickle(struct mr_pickle *pickle, const uint8_t *bytes, size_t size, const char *what,
                       struct mr_pickle_asked *asked)
{
    *pickle = (struct mr_pickle){.size = size};
    if (size > MR_PICKLE_LARGEST)
        return mr_fail(MR_EFILE, "%s: a pickle of %zu bytes is larger than any that is known (%d)", what, size,
                       MR_PICKLE_LARGEST);
    bytes = size ? bytes : (const uint8_t *)""; /* of an empty file there are none */
    struct mr_pickle_machine m = {
        .pickle = pickle, .p = bytes, .start = bytes, .end = bytes + size, .what = what, .asked = asked};
    int err = run(&m);
    free(m.stack.items);
    free(m.memo.items);
    if (err)
        mr_pickle_free(pickle);
    return err;
}

int mr_pickle_read(struct mr_pickle *pickle, const uint8_t *bytes, size_t size, const char *what)
{
    return read_pickle(pickle, bytes, size, what, NULL);
}

int mr_pickle_globals(struct mr_pickle_asked *asked, const uint8_t *bytes, size_t size, size_t *used, const char *what)
{
    struct mr_pickle pickle;
    MR_TRY(read_pickle(&pickle, bytes, size, what, asked));
    *used = pickle.size;
    mr_pickle_free(&pickle);
    return 0;
}
