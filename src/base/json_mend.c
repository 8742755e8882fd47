/* SPDX-License-Identifier: GPL-3.0-or-later
 * JSON as other programs write it and jansson refuses it: integers beyond 64 bits, NaN and Infinity, half of a
 * surrogate pair. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"

/* A number at the start of `text`, which ends with NUL: its length. */
static size_t number_length(const char *text)
{
    return strspn(text, "+-.0123456789eE");
}

static int copy_number(const char *text, size_t size, struct mr_str *out)
{
    bool real = memchr(text, '.', size) || memchr(text, 'e', size) || memchr(text, 'E', size);
    if (real && isinf(strtod(text, NULL)))
        return mr_str_printf(out, "\"%sinf\"", *text == '-' ? "-" : "");
    MR_TRY(mr_str_append(out, text, size));
    return !real && size > 18 ? mr_str_append(out, ".0", 2) : 0;
}

/* What jansson has no word for, and how mr_json_real spells it; *length: of the word. */
static const char *spelling(const char *text, size_t *length)
{
    static const char *const words[][2] = {{"NaN", "\"nan\""}, {"Infinity", "\"inf\""}, {"-Infinity", "\"-inf\""}};
    for (int i = 0; i < 3; i++)
        if (!strncmp(text, words[i][0], *length = strlen(words[i][0])))
            return words[i][1];
    return NULL;
}

/* The four digits behind "\u", or -1. */
static long unit(const char *escape)
{
    char digits[5] = "", *end;
    if (escape[0] != '\\' || escape[1] != 'u')
        return -1;
    strncpy(digits, escape + 2, 4);
    long value = strtol(digits, &end, 16);
    return end == digits + 4 ? value : -1;
}

/* The escape at this place of a string; *length: of what it was. */
static int copy_escape(const char *text, size_t *length, struct mr_str *out)
{
    long first = unit(text);
    *length = text[1] ? 2 : 1;
    if (first >= 0xD800 && first < 0xE000) {
        long second = unit(text + 6);
        bool pair = first < 0xDC00 && second >= 0xDC00 && second < 0xE000;
        *length = pair ? 12 : 6;
        return pair ? mr_str_append(out, text, 12) : mr_str_append(out, "\\ufffd", 6);
    }
    return mr_str_append(out, text, *length);
}

int mr_json_mend(const char *text, size_t size, struct mr_str *out)
{
    struct mr_str whole = {0}; /* with a NUL at its end */
    bool inside = false;       /* of a string */
    int err = mr_str_append(&whole, text, size);
    for (const char *p = whole.text, *end = p + whole.size; !err && p < end;) {
        size_t length = 1;
        const char *word = inside ? NULL : spelling(p, &length);
        if (word) {
            err = mr_str_append(out, word, strlen(word));
        } else if (!inside && (*p == '-' || (*p >= '0' && *p <= '9'))) {
            length = number_length(p);
            err = copy_number(p, length, out);
        } else if (inside && *p == '\\') {
            err = copy_escape(p, &length, out);
        } else {
            length = 1;
            inside ^= *p == '"';
            err = mr_str_append(out, p, 1);
        }
        p += length;
    }
    mr_str_free(&whole);
    return err;
}
