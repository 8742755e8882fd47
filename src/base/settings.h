/* SPDX-License-Identifier: GPL-3.0-or-later
 * Keys and plain values, in the order in which they were given: what configurations are made of, whatever file or
 * command line they come from. */
#ifndef MR_BASE_SETTINGS_H
#define MR_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mr_value_kind {
    MR_VALUE_NONE, /* null, None */
    MR_VALUE_BOOL,
    MR_VALUE_INT,
    MR_VALUE_REAL,
    MR_VALUE_TEXT,
    MR_VALUE_OTHER, /* a list or an object, which no key takes */
};

struct mr_value {
    enum mr_value_kind kind;
    union {
        bool yes;
        int64_t integer;
        double real;
        char *text; /* NUL-terminated UTF-8; belongs to the value */
    };
};

void mr_value_free(struct mr_value *value); /* {0} is fine */
int mr_value_copy(struct mr_value *to, const struct mr_value *from);
/* A text of `size` bytes; MR_EINVAL: it is not UTF-8, or holds a zero byte. */
int mr_value_text(struct mr_value *value, const char *text, size_t size);

/* Integers and reals; the number of all others is 0. */
bool mr_value_is_number(const struct mr_value *value);
double mr_value_number(const struct mr_value *value);
bool mr_value_equal(const struct mr_value *a, const struct mr_value *b);

struct mr_setting {
    char *key;
    struct mr_value value;
};

struct mr_settings {
    struct mr_setting *list;
    size_t count, capacity;
};

void mr_settings_free(struct mr_settings *settings); /* {0} is fine */
/* Copies key and value; a key that was set before keeps its place. */
int mr_settings_set(struct mr_settings *settings, const char *key, const struct mr_value *value);
/* The value of a key, or NULL; settings may be NULL. */
const struct mr_value *mr_settings_find(const struct mr_settings *settings, const char *key);

#endif
