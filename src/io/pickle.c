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
            else if (v->kind == MR_PICKLED_TENSOR)
                free(v->tensor);
            else if (v->kind == MR_PICKLED_STORAGE)
                free(v->storage);
        }
        free(block);
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

/* The number of values above the last mark, or -1. */
static int64_t above_mark(const struct mr_pickle_machine *m)
{
    for (size_t i = m->stack.count; i-- > 0;)
        if (m->stack.items[i]->kind == MR_PICKLED_MARK)
            return (int64_t)(m->stack.count - 1 - i);
    return -1;
}

/* Moves the topmost n values to the end of a container. */
static int take(struct mr_pickle_machine *m, struct mr_pickled *into, size_t n)
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

static int make_tuple(struct mr_pickle_machine *m, size_t n)
{
    if (n == 0)
        return mr_pickle_push(m, m->empty_tuple);
    struct mr_pickled *tuple = mr_pickle_make(m, MR_PICKLED_TUPLE);
    if (!tuple)
        return MR_ENOMEM;
    for (size_t i = 0; i < n; i++)
        if (!mr_pickle_peek(m, i))
            return mr_pickle_fail(m, "a tuple lacks its items");
    MR_TRY(take(m, tuple, n));
    return mr_pickle_push(m, tuple);
}

/* A tuple, or items for the list or dictionary below the mark. */
static int close_mark(struct mr_pickle_machine *m, enum mr_pickled_kind kind)
{
    int64_t n = above_mark(m);
    if (n < 0)
        return mr_pickle_fail(m, "a mark is missing");
    if (kind == MR_PICKLED_TUPLE) {
        memmove(&m->stack.items[m->stack.count - 1 - (size_t)n], &m->stack.items[m->stack.count - (size_t)n],
                (size_t)n * sizeof *m->stack.items);
        m->stack.count--;
        return make_tuple(m, (size_t)n);
    }
    struct mr_pickled *into = mr_pickle_peek(m, (size_t)n + 1);
    if (!into || into->kind != kind || (kind == MR_PICKLED_DICT && n % 2))
        return mr_pickle_fail(m, "items that belong to no list or dictionary");
    MR_TRY(take(m, into, (size_t)n));
    m->stack.count--;
    return 0;
}

static int append_items(struct mr_pickle_machine *m, enum mr_pickled_kind kind, size_t n)
{
    struct mr_pickled *into = mr_pickle_peek(m, n);
    if (!into || into->kind != kind || !mr_pickle_peek(m, 0) || !mr_pickle_peek(m, n - 1))
        return mr_pickle_fail(m, "an item that belongs to no list or dictionary");
    return take(m, into, n);
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

static int push_int(struct mr_pickle_machine *m, int64_t n)
{
    struct mr_pickled *fresh = NULL, **value = n >= 0 && n < 256 ? &m->small[n] : &fresh;
    if (!*value && (*value = mr_pickle_make(m, MR_PICKLED_INT)))
        (*value)->integer = n;
    return mr_pickle_push(m, *value);
}

static int push_real(struct mr_pickle_machine *m, double x)
{
    struct mr_pickled *value = mr_pickle_make(m, MR_PICKLED_REAL);
    if (value)
        value->real = x;
    return mr_pickle_push(m, value);
}

static int push_float(struct mr_pickle_machine *m)
{
    uint64_t bits;
    double x;
    MR_TRY(read_number(m, 8, &bits));
    bits = __builtin_bswap64(bits);
    memcpy(&x, &bits, 8);
    return push_real(m, x);
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
        return push_int(m, (int64_t)n);
    }
    double x = negative ? -1 : 0;
    for (uint64_t i = size; i-- > 0;)
        x = x * 256 + p[i];
    return push_real(m, x);
}

static int push_text(struct mr_pickle_machine *m, enum mr_pickled_kind kind, int size_bytes)
{
    uint64_t size;
    MR_TRY(read_number(m, size_bytes, &size));
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

static int read_and(struct mr_pickle_machine *m, int bytes,
                    int (*action)(struct mr_pickle_machine *, uint64_t))
{
    uint64_t n;
    MR_TRY(read_number(m, bytes, &n));
    return action(m, n);
}

static int push_int1(struct mr_pickle_machine *m, uint64_t n)
{
    return push_int(m, (int64_t)n);
}

static int push_int4(struct mr_pickle_machine *m, uint64_t n)
{
    return push_int(m, (int32_t)(uint32_t)n);
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

static int step(struct mr_pickle_machine *m, uint8_t op)
{
    switch (op) {
    case 0x80: /* PROTO */
        return read_and(m, 1, check_protocol);
    case 0x95: /* FRAME */
        return read_and(m, 8, ignore);
    case '(':
        return mr_pickle_push(m, m->mark);
    case '0': /* POP */
        return m->stack.count ? (m->stack.count--, 0) : mr_pickle_fail(m, "its stack is empty");
    case '1': { /* POP_MARK */
        int64_t n = above_mark(m);
        m->stack.count -= n < 0 ? 0 : (size_t)n + 1;
        return n < 0 ? mr_pickle_fail(m, "a mark is missing") : 0;
    }
    case 'N':
        return mr_pickle_push(m, m->none);
    case 0x88:
        return mr_pickle_push(m, m->yes);
    case 0x89:
        return mr_pickle_push(m, m->no);
    case 'K': /* BININT1, BININT2, BININT */
        return read_and(m, 1, push_int1);
    case 'M':
        return read_and(m, 2, push_int1);
    case 'J':
        return read_and(m, 4, push_int4);
    case 0x8a: /* LONG1, LONG4 */
        return read_and(m, 1, push_long);
    case 0x8b:
        return read_and(m, 4, push_long);
    case 'G':
        return push_float(m);
    case 'X': /* BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 */
        return push_text(m, MR_PICKLED_TEXT, 4);
    case 0x8c:
        return push_text(m, MR_PICKLED_TEXT, 1);
    case 0x8d:
        return push_text(m, MR_PICKLED_TEXT, 8);
    case 'U': /* SHORT_BINSTRING, BINSTRING */
        return push_text(m, MR_PICKLED_TEXT, 1);
    case 'T':
        return push_text(m, MR_PICKLED_TEXT, 4);
    case 'C': /* SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8 */
        return push_text(m, MR_PICKLED_BYTES, 1);
    case 'B':
        return push_text(m, MR_PICKLED_BYTES, 4);
    case 0x8e:
    case 0x96:
        return push_text(m, MR_PICKLED_BYTES, 8);
    case ']':
        return mr_pickle_push(m, mr_pickle_make(m, MR_PICKLED_LIST));
    case '}':
        return mr_pickle_push(m, mr_pickle_make(m, MR_PICKLED_DICT));
    case ')':
        return mr_pickle_push(m, m->empty_tuple);
    case 'a': /* APPEND, APPENDS, SETITEM, SETITEMS */
        return append_items(m, MR_PICKLED_LIST, 1);
    case 'e':
        return close_mark(m, MR_PICKLED_LIST);
    case 's':
        return append_items(m, MR_PICKLED_DICT, 2);
    case 'u':
        return close_mark(m, MR_PICKLED_DICT);
    case 't': /* TUPLE, TUPLE1, TUPLE2, TUPLE3 */
        return close_mark(m, MR_PICKLED_TUPLE);
    case 0x85:
    case 0x86:
    case 0x87:
        return make_tuple(m, (size_t)(op - 0x84));
    case 'c':
        return mr_pickle_global(m);
    case 0x93:
        return mr_pickle_stack_global(m);
    case 'R':
        return mr_pickle_reduce(m);
    case 'b':
        return mr_pickle_build(m);
    case 'Q':
        return mr_pickle_persistent(m);
    case 'q': /* BINPUT, LONG_BINPUT, MEMOIZE */
        return read_and(m, 1, remember);
    case 'r':
        return read_and(m, 4, remember);
    case 0x94:
        return remember(m, m->memo.count);
    case 'h': /* BINGET, LONG_BINGET */
        return read_and(m, 1, recall);
    case 'j':
        return read_and(m, 4, recall);
    default:
        return mr_pickle_fail(m, "operation 0x%02x is not one that plain data or torch needs", op);
    }
}

static int run(struct mr_pickle_machine *m)
{
    m->none = mr_pickle_make(m, MR_PICKLED_NONE);
    m->yes = mr_pickle_make(m, MR_PICKLED_BOOL);
    m->no = mr_pickle_make(m, MR_PICKLED_BOOL);
    m->mark = mr_pickle_make(m, MR_PICKLED_MARK);
    m->empty_tuple = mr_pickle_make(m, MR_PICKLED_TUPLE);
    if (!m->empty_tuple) /* the first block holds them all */
        return MR_ENOMEM;
    m->yes->truth = true;
    while (m->p < m->end) {
        uint8_t op = *m->p++;
        if (op == '.') {
            if (m->stack.count != 1 || !mr_pickle_peek(m, 0))
                return mr_pickle_fail(m, "it ends with %zu values instead of one", m->stack.count);
            m->pickle->root = mr_pickle_peek(m, 0);
            return 0;
        }
        MR_TRY(step(m, op));
    }
    return mr_pickle_fail(m, "it is cut short");
}

int mr_pickle_read(struct mr_pickle *pickle, const uint8_t *bytes, size_t size, const char *what)
{
    *pickle = (struct mr_pickle){.size = size};
    if (size > MR_PICKLE_LARGEST)
        return mr_fail(MR_EFILE, "%s: a pickle of %zu bytes is larger than any that is known (%d)", what,
                       size, MR_PICKLE_LARGEST);
    struct mr_pickle_machine m = {
        .pickle = pickle, .p = bytes, .start = bytes, .end = bytes + size, .what = what};
    int err = run(&m);
    free(m.stack.items);
    free(m.memo.items);
    if (err)
        mr_pickle_free(pickle);
    return err;
}

const struct mr_pickled *mr_pickled_get(const struct mr_pickled *dict, const char *key)
{
    const struct mr_pickled *found = NULL;
    for (uint32_t i = 0; dict->kind == MR_PICKLED_DICT && i + 1 < dict->count; i += 2) {
        const struct mr_pickled *k = dict->items[i];
        if (k->kind == MR_PICKLED_TEXT && k->size == strlen(key) && !memcmp(k->text, key, k->size))
            found = dict->items[i + 1];
    }
    return found;
}
