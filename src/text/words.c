/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/words.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

enum char_class { OTHER, LETTER, NUMBER, SPACE, END, UNKNOWN }; /* UNKNOWN: the bytes end here, but the text goes on */

/* Unicode's White_Space beyond ASCII. */
static bool is_wide_space(uint32_t c)
{
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static enum char_class wide_class(uint32_t c)
{
    if (is_wide_space(c))
        return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NUMBER;
    default:
        return OTHER;
    }
}

static enum char_class ascii_class(unsigned char c)
{
    if ((c | 32) >= 'a' && (c | 32) <= 'z')
        return LETTER;
    if (c >= '0' && c <= '9')
        return NUMBER;
    return c == ' ' || (c >= '\t' && c <= '\r') ? SPACE : OTHER;
}

/* The class of the character at bytes[at], and its length. */
static inline enum char_class class_at(const char *bytes, size_t size, size_t at, bool more, size_t *length)
{
    uint32_t c;
    *length = 1;
    if (at == size)
        return more ? UNKNOWN : END;
    if ((unsigned char)bytes[at] < 0x80)
        return ascii_class((unsigned char)bytes[at]);
    int n = mr_utf8_decode(bytes + at, size - at, &c);
    if (n == MR_UTF8_CUT && more)
        return UNKNOWN;
    if (n <= 0)
        return OTHER;
    *length = (size_t)n;
    return wide_class(c);
}

/* Goes on over characters of one class; the class of the one that ends them. */
static inline enum char_class skip(const char *bytes, size_t size, size_t *at, bool more, enum char_class class,
                                   size_t *last)
{
    enum char_class next;
    size_t length;
    while ((next = class_at(bytes, size, *at, more, &length)) == class) {
        *last = length;
        *at += length;
    }
    return next;
}

/* The size of 's, 't, 're, 've, 'm, 'll or 'd after an apostrophe at the start; 0: none; -1: cannot be told yet. */
static int contraction(const char *bytes, size_t size, bool more)
{
    if (size < 2)
        return more ? -1 : 0;
    if (strchr("stmd", bytes[1]) && bytes[1])
        return 2;
    if (!strchr("rvl", bytes[1]) || !bytes[1])
        return 0;
    if (size < 3)
        return more ? -1 : 0;
    return bytes[2] == (bytes[1] == 'l' ? 'l' : 'e') ? 3 : 0;
}

static size_t word(const char *bytes, size_t size, bool more)
{
    size_t at = 0, length, last = 0;
    if (!size)
        return 0;
    if (bytes[0] == '\'') {
        int n = contraction(bytes, size, more);
        if (n)
            return n > 0 ? (size_t)n : 0;
    }
    enum char_class class = class_at(bytes, size, 0, more, &length);
    if (class == SPACE && bytes[0] == ' ') { /* may belong to the word behind it */
        enum char_class second = class_at(bytes, size, 1, more, &length);
        if (second < SPACE) {
            class = second;
            at = 1;
        }
    }
    if (class == UNKNOWN)
        return 0;
    enum char_class next = skip(bytes, size, &at, more, class, &last);
    if (next == UNKNOWN)
        return 0;
    if (class == SPACE && next != END && at > last) /* the last one is left to the next word */
        at -= last;
    return at;
}

size_t mr_word(const char *bytes, size_t size, bool more)
{
    if (size <= MR_LONGEST_WORD)
        return word(bytes, size, more);
    size_t n = word(bytes, MR_LONGEST_WORD, true);
    return n ? n : mr_utf8_cut(bytes, MR_LONGEST_WORD);
}
