/* SPDX-License-Identifier: GPL-3.0-or-later
 * utf8proc knows the characters; the order of marks is made here, in linear time for any number of them. */
#include "text/nfc.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"

enum {
    FIRST_COMBINING = 0x300,
    FIRST_COMBINING_BYTE = 0xCC, /* the lead byte of U+0300 */
    LONGEST_DECOMPOSITION = 32,
    CLASSES = 256,
    CAPITAL_I_WITH_DOT = 0x130,
};

static utf8proc_option_t options_of(const struct mr_normal *n)
{
    return UTF8PROC_STABLE | UTF8PROC_COMPOSE | (n->compat ? UTF8PROC_COMPAT : 0);
}

bool mr_normal_is_plain(const struct mr_normal *n, const char *bytes, size_t size)
{
    unsigned char least = n->lower || n->compat ? 0x80 : FIRST_COMBINING_BYTE;
    unsigned above = 0;
    for (size_t i = 0; i < size; i++)
        above |= (unsigned char)bytes[i] >= least || (n->lower && bytes[i] >= 'A' && bytes[i] <= 'Z');
    return !above;
}

/* The first character of what c is made of. */
static utf8proc_int32_t first_of(const struct mr_normal *n, uint32_t c)
{
    utf8proc_int32_t parts[LONGEST_DECOMPOSITION];
    int boundclass = 0;
    if (!n->compat)
        return (utf8proc_int32_t)c;
    return utf8proc_decompose_char((utf8proc_int32_t)c, parts, LONGEST_DECOMPOSITION, options_of(n), &boundclass) > 0
               ? parts[0]
               : (utf8proc_int32_t)c;
}

bool mr_normal_boundary(const struct mr_normal *n, uint32_t c)
{
    if (c < FIRST_COMBINING || !n->compose)
        return true;
    switch (utf8proc_get_property(first_of(n, c))->boundclass) {
    case UTF8PROC_BOUNDCLASS_EXTEND:
    case UTF8PROC_BOUNDCLASS_SPACINGMARK:
    case UTF8PROC_BOUNDCLASS_V:
    case UTF8PROC_BOUNDCLASS_T:
        return false;
    default:
        return true;
    }
}

size_t mr_normal_certain(const struct mr_normal *n, const char *bytes, size_t size)
{
    uint32_t c;
    for (size_t at = size; at-- > 0;)
        if (((unsigned char)bytes[at] & 0xC0) != 0x80 && mr_utf8_decode(bytes + at, size - at, &c) > 0 &&
            mr_normal_boundary(n, c))
            return at;
    return 0;
}

/* The characters since the last boundary, decomposed. */
struct cluster {
    const struct mr_normal *normal;
    utf8proc_int32_t *c;
    size_t count, capacity;
};

static int add(struct cluster *k, uint32_t c)
{
    int boundclass = 0;
    utf8proc_option_t options = options_of(k->normal);
    MR_TRY(mr_grow(&k->c, &k->capacity, k->count + LONGEST_DECOMPOSITION, sizeof *k->c));
    if (!k->normal->compose) {
        k->c[k->count++] = (utf8proc_int32_t)c;
        return 0;
    }
    utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, k->c + k->count, LONGEST_DECOMPOSITION, options, &boundclass);
    if (n < 0 || n > LONGEST_DECOMPOSITION)
        return mr_fail(MR_EFILE, "cannot decompose U+%04X", c);
    k->count += (size_t)n;
    return 0;
}

static unsigned class_of(utf8proc_int32_t c)
{
    return c < FIRST_COMBINING ? 0 : (unsigned)utf8proc_get_property(c)->combining_class % CLASSES;
}

/* Sorts c[0 … count) by class, equals as they stand. */
static int sort_marks(utf8proc_int32_t *c, size_t count)
{
    size_t place[CLASSES + 1] = {0};
    utf8proc_int32_t *sorted = mr_alloc(count, sizeof *sorted);
    if (!sorted)
        return MR_ENOMEM;
    for (size_t i = 0; i < count; i++)
        place[class_of(c[i]) + 1]++;
    for (int i = 0; i < CLASSES; i++)
        place[i + 1] += place[i];
    for (size_t i = 0; i < count; i++)
        sorted[place[class_of(c[i])]++] = c[i];
    memcpy(c, sorted, count * sizeof *c);
    free(sorted);
    return 0;
}

/* Puts every run of marks into the canonical order. */
static int order(struct cluster *k)
{
    size_t i = 0;
    while (i < k->count) {
        size_t start = i;
        bool sorted = true;
        for (unsigned last = 1, now; i < k->count && (now = class_of(k->c[i])); last = now, i++)
            sorted &= last <= now;
        if (!sorted)
            MR_TRY(sort_marks(k->c + start, i - start));
        i += i == start;
    }
    return 0;
}

static int append(const struct mr_normal *n, uint32_t c, struct mr_str *out)
{
    char text[4];
    uint32_t lower = n->lower ? (uint32_t)utf8proc_tolower((utf8proc_int32_t)c) : c;
    if (n->lower && c == CAPITAL_I_WITH_DOT) /* the only one whose lower case is two characters */
        return mr_str_append(out, "i\xCC\x87", 3);
    return mr_str_append(out, text, (size_t)mr_utf8_encode(lower, text));
}

/* Composes the cluster and appends it. */
static int flush(struct cluster *k, struct mr_str *out)
{
    utf8proc_ssize_t n = (utf8proc_ssize_t)k->count;
    if (!k->count)
        return 0;
    if (k->normal->compose) {
        MR_TRY(order(k));
        n = utf8proc_normalize_utf32(k->c, n, options_of(k->normal));
    }
    if (n < 0)
        return mr_fail(MR_ENOMEM, "cannot normalise text: %s", utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; i++)
        MR_TRY(append(k->normal, (uint32_t)k->c[i], out));
    k->count = 0;
    return 0;
}

int mr_normalise(const struct mr_normal *n, const char *bytes, size_t size, struct mr_str *out)
{
    struct cluster k = {.normal = n};
    int err = 0;
    for (size_t at = 0; at < size && !err;) {
        uint32_t c;
        int length = mr_utf8_decode(bytes + at, size - at, &c);
        if (length <= 0 || mr_normal_boundary(n, c))
            err = flush(&k, out);
        if (!err)
            err = length > 0 ? add(&k, c) : mr_str_append(out, bytes + at, 1);
        at += length > 0 ? (size_t)length : 1;
    }
    if (!err)
        err = flush(&k, out);
    free(k.c);
    return err;
}
