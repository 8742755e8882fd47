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
};

static const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;

bool mr_nfc_is_plain(const char *bytes, size_t size)
{
    unsigned above = 0;
    for (size_t i = 0; i < size; i++)
        above |= (unsigned char)bytes[i] >= FIRST_COMBINING_BYTE;
    return !above;
}

bool mr_nfc_boundary(uint32_t c)
{
    if (c < FIRST_COMBINING)
        return true;
    switch (utf8proc_get_property((utf8proc_int32_t)c)->boundclass) {
    case UTF8PROC_BOUNDCLASS_EXTEND:
    case UTF8PROC_BOUNDCLASS_SPACINGMARK:
    case UTF8PROC_BOUNDCLASS_V:
    case UTF8PROC_BOUNDCLASS_T:
        return false;
    default:
        return true;
    }
}

size_t mr_nfc_certain(const char *bytes, size_t size)
{
    uint32_t c;
    for (size_t at = size; at-- > 0;)
        if (((unsigned char)bytes[at] & 0xC0) != 0x80 && mr_utf8_decode(bytes + at, size - at, &c) > 0 &&
            mr_nfc_boundary(c))
            return at;
    return 0;
}

/* The characters since the last boundary, decomposed. */
struct cluster {
    utf8proc_int32_t *c;
    size_t count, capacity;
};

static int add(struct cluster *k, uint32_t c)
{
    int boundclass = 0;
    MR_TRY(mr_grow(&k->c, &k->capacity, k->count + LONGEST_DECOMPOSITION, sizeof *k->c));
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

/* Composes the cluster and appends it. */
static int flush(struct cluster *k, struct mr_str *out)
{
    char text[4];
    if (!k->count)
        return 0;
    MR_TRY(order(k));
    utf8proc_ssize_t n = utf8proc_normalize_utf32(k->c, (utf8proc_ssize_t)k->count, options);
    if (n < 0)
        return mr_fail(MR_ENOMEM, "cannot normalise text: %s", utf8proc_errmsg(n));
    for (utf8proc_ssize_t i = 0; i < n; i++)
        MR_TRY(mr_str_append(out, text, (size_t)mr_utf8_encode((uint32_t)k->c[i], text)));
    k->count = 0;
    return 0;
}

int mr_nfc(const char *bytes, size_t size, struct mr_str *out)
{
    struct cluster k = {0};
    int err = 0;
    for (size_t at = 0; at < size && !err;) {
        uint32_t c;
        int length = mr_utf8_decode(bytes + at, size - at, &c);
        if (length <= 0 || mr_nfc_boundary(c))
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
