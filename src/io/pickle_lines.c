/* SPDX-License-Identifier: GPL-3.0-or-later
 * What protocols 0 and 1 write as lines of text. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"
#include "io/pickle_machine.h"

int mr_pickle_line(struct mr_pickle_machine *m, struct mr_pickled **text)
{
    const uint8_t *line = m->p, *end = memchr(line, '\n', (size_t)(m->end - line));
    if (!end)
        return mr_pickle_fail(m, "it ends within a line");
    if (!(*text = mr_pickle_make(m, MR_PICKLED_TEXT)))
        return MR_ENOMEM;
    (*text)->text = (const char *)line;
    (*text)->size = (size_t)(end - line);
    m->p = end + 1;
    return 0;
}

/* ---- numbers ---- */

#define NO_NUMBER "a line where a number belongs is none"
enum { DIGITS = 400 }; /* of a number; longer ones are beyond any double */

/* The next line with a NUL behind it. */
static int short_line(struct mr_pickle_machine *m, char line[DIGITS])
{
    const uint8_t *end = memchr(m->p, '\n', (size_t)(m->end - m->p));
    size_t n = end ? (size_t)(end - m->p) : 0;
    if (!end)
        return mr_pickle_fail(m, "it ends within a line");
    if (!n || n >= DIGITS || memchr(m->p, 0, n))
        return mr_pickle_fail(m, NO_NUMBER);
    memcpy(line, m->p, n);
    line[n] = 0;
    m->p = end + 1;
    return 0;
}

int mr_pickle_number_line(struct mr_pickle_machine *m, uint64_t *n)
{
    char line[DIGITS], *end;
    MR_TRY(short_line(m, line));
    *n = strtoull(line, &end, 10);
    return *end || line[0] < '0' || line[0] > '9' ? mr_pickle_fail(m, NO_NUMBER) : 0;
}

static int push_whole(struct mr_pickle_machine *m, const char *line)
{
    char *end;
    errno = 0;
    long long n = strtoll(line, &end, 10);
    if (*end || end == line || line[strspn(line, "+-0123456789")])
        return mr_pickle_fail(m, NO_NUMBER);
    return errno == ERANGE ? mr_pickle_push_real(m, strtod(line, NULL)) : mr_pickle_push_int(m, n);
}

int mr_pickle_int_line(struct mr_pickle_machine *m)
{
    char line[DIGITS];
    MR_TRY(short_line(m, line));
    if (!strcmp(line, "00") || !strcmp(line, "01"))
        return mr_pickle_push(m, m->shared[line[1] == '1' ? MR_PICKLE_YES : MR_PICKLE_NO]);
    return push_whole(m, line);
}

int mr_pickle_long_line(struct mr_pickle_machine *m)
{
    char line[DIGITS];
    MR_TRY(short_line(m, line));
    size_t n = strlen(line);
    if (line[n - 1] == 'L')
        line[n - 1] = 0;
    return push_whole(m, line);
}

int mr_pickle_float_line(struct mr_pickle_machine *m)
{
    char line[DIGITS], *end;
    MR_TRY(short_line(m, line));
    double x = strtod(line, &end); /* nan, inf and -inf as Python writes them */
    return *end || end == line ? mr_pickle_fail(m, NO_NUMBER) : mr_pickle_push_real(m, x);
}

/* ---- texts ---- */

/* Room for `size` bytes that live as long as the pickle. */
static char *own_text(struct mr_pickle_machine *m, size_t size)
{
    struct mr_pickle_text *text = mr_alloc(1, sizeof *text + size);
    if (!text)
        return NULL;
    text->next = m->pickle->texts;
    m->pickle->texts = text;
    return text->text;
}

/* The number that n hexadecimal digits give, or -1. */
static int64_t hexadecimal(const char *p, const char *end, int n)
{
    int64_t value = 0;
    if (end - p < n)
        return -1;
    for (int i = 0; i < n; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = p[i] ? strchr(digits, p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i]) : NULL;
        if (!digit)
            return -1;
        value = value * 16 + (digit - digits);
    }
    return value;
}

/* A byte string in quotes, as repr of Python 2 writes it. */
int mr_pickle_string_line(struct mr_pickle_machine *m)
{
    static const char from[] = "nrtabfv\\'\"", to[] = "\n\r\t\a\b\f\v\\'\"";
    struct mr_pickled *value;
    MR_TRY(mr_pickle_line(m, &value));
    const char *p = value->text, *end = p + value->size, *which;
    if (value->size < 2 || (*p != '\'' && *p != '"') || end[-1] != *p)
        return mr_pickle_fail(m, "a string without its quotes");
    char *out = own_text(m, value->size), *at = out;
    if (!out)
        return MR_ENOMEM;
    for (p++, end--; p < end; p++) {
        int64_t code;
        if (*p != '\\') {
            *at++ = *p;
        } else if (++p == end) {
            return mr_pickle_fail(m, "a string ends within an escape");
        } else if (*p == 'x' && (code = hexadecimal(p + 1, end, 2)) >= 0) {
            *at++ = (char)code;
            p += 2;
        } else if (*p && (which = strchr(from, *p))) {
            *at++ = to[which - from];
        } else {
            return mr_pickle_fail(m, "an escape in a string that Python does not write");
        }
    }
    value->text = out;
    value->size = (size_t)(at - out);
    return mr_pickle_push(m, value);
}

/* Latin-1, in which \uXXXX and \UXXXXXXXX stand for all others; two surrogates are one character. */
int mr_pickle_unicode_line(struct mr_pickle_machine *m)
{
    struct mr_pickled *value;
    MR_TRY(mr_pickle_line(m, &value));
    const char *p = value->text, *end = p + value->size;
    char *out = own_text(m, 2 * value->size), *at = out; /* six bytes give at most three, one at most two */
    if (!out)
        return MR_ENOMEM;
    while (p < end) {
        int64_t code = (unsigned char)*p, low;
        int digits = code == '\\' && end - p > 1 ? (p[1] == 'u' ? 4 : p[1] == 'U' ? 8 : 0) : 0;
        if (digits) {
            code = hexadecimal(p + 2, end, digits);
            if (code < 0 || code > 0x10ffff)
                return mr_pickle_fail(m, "an escape in a text that Python does not write");
            if (code >> 10 == 0x36 && end - p > 7 && p[6] == '\\' && p[7] == 'u' &&
                (low = hexadecimal(p + 8, end, 4)) >> 10 == 0x37) {
                code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
                p += 6;
            }
            p += 2 + digits;
        } else {
            p++;
        }
        at += mr_utf8_encode((uint32_t)code, at);
    }
    value->text = out;
    value->size = (size_t)(at - out);
    return mr_pickle_push(m, value);
}

/* ---- objects of Python 2 ---- */

/* Calls the name on top of the stack with the arguments below it. */
static int call_top(struct mr_pickle_machine *m)
{
    struct mr_pickled *name = mr_pickle_peek(m, 0), **top = &m->stack.items[m->stack.count - 1];
    top[0] = top[-1];
    top[-1] = name;
    return mr_pickle_reduce(m);
}

/* MARK, arguments, and the class's module and name as lines. */
int mr_pickle_instance(struct mr_pickle_machine *m)
{
    int64_t n = mr_pickle_above_mark(m);
    if (n < 0)
        return mr_pickle_fail(m, "a mark is missing");
    MR_TRY(mr_pickle_tuple(m, (uint64_t)n));
    struct mr_pickled *args = mr_pickle_peek(m, 0);
    m->stack.count -= 2;
    MR_TRY(mr_pickle_push(m, args));
    MR_TRY(mr_pickle_global(m));
    return call_top(m);
}

/* MARK, class, arguments. */
int mr_pickle_object(struct mr_pickle_machine *m)
{
    int64_t n = mr_pickle_above_mark(m);
    if (n < 1)
        return mr_pickle_fail(m, n < 0 ? "a mark is missing" : "an object is not made as Python does it");
    MR_TRY(mr_pickle_tuple(m, (uint64_t)n - 1));
    struct mr_pickled *args = mr_pickle_peek(m, 0), *name = mr_pickle_peek(m, 1);
    m->stack.count -= 3;
    MR_TRY(mr_pickle_push(m, args));
    MR_TRY(mr_pickle_push(m, name));
    return call_top(m);
}
