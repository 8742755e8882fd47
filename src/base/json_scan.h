/* SPDX-License-Identifier: GPL-3.0-or-later
 * JSON piece by piece: says whether it is valid, and hands out the text of one member of the outermost object, without
 * ever holding more than the piece at hand. Numbers may be of any size and NaN or Infinity; raw control characters may
 * stand in strings unless `strict`. */
#ifndef MR_BASE_JSON_SCAN_H
#define MR_BASE_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { MR_JSON_DEPTH = 1 << 16 };

struct mr_json_scan {
    /* Set by the caller before the first piece. */
    const char *key;     /* the member whose text is wanted, or NULL */
    int wanted;          /* which of the members of that name hands out its text, from 1; 0: none does */
    struct mr_str *text; /* where to; what is no UTF-8 becomes U+FFFD */
    bool strict;

    /* Told after each piece. */
    const char *error; /* NULL: valid so far */
    uint64_t at;       /* bytes read, of an error its place */
    int found;         /* members of that name */
    bool is_text;      /* the last of them is a string */
    bool is_object;
    uint64_t replaced; /* U+FFFD that were put into the wanted text */

    /* Its own. */
    int state, number;
    bool is_key, value_wanted, hands_out;
    struct mr_str open, name; /* brackets that are open; the key at hand */
    const char *word;         /* the rest of a literal */
    uint32_t unit, high;      /* of \u escapes */
    int digits;
    char cut[4]; /* the start of a character */
    int cut_size;
};

/* 0, or MR_ENOMEM; whether the JSON is valid `error` says. */
int mr_json_scan(struct mr_json_scan *s, const char *bytes, size_t size);
/* Nothing follows. */
void mr_json_scan_end(struct mr_json_scan *s);
void mr_json_scan_free(struct mr_json_scan *s);

#endif
