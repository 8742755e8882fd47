/* SPDX-License-Identifier: GPL-3.0-or-later
 * JSON through jansson: parsing with errors that name the place, and getters whose errors name the key. */
#ifndef MR_BASE_JSON_H
#define MR_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/str.h"

/* An object or array from text; a duplicate key is an error. Integers beyond 64 bits become reals, NaN and Infinity
 * what mr_json_real makes of them, halves of surrogate pairs U+FFFD. `what` names the source in errors. The result is
 * the caller's: json_decref. */
int mr_json_parse(json_t **json, const char *text, size_t size, const char *what);
/* Appends the text with these things put as jansson can read them. */
int mr_json_mend(const char *text, size_t size, struct mr_str *out);
/* The same from a file of at most 256 MiB. */
int mr_json_load(json_t **json, const char *path);
/* Writes the file in one step, indented, keys in their order, with a newline at the end. */
int mr_json_save(const json_t *json, const char *path);
/* As one line; the caller frees it. NULL: out of memory. */
char *mr_json_text(const json_t *json);

/* A number that may be infinite or no number, which JSON cannot hold: those become "inf", "-inf", "nan", and
 * mr_json_number takes them back. */
json_t *mr_json_real(double value);

/* The same for readers outside the project: null where the number is not finite. */
json_t *mr_json_finite(double value);

/* A string of any bytes: what is no UTF-8 becomes U+FFFD. NULL: out of memory. */
json_t *mr_json_repaired(const char *bytes, size_t size);

/* object[key] = value, taking over the reference (also on failure; value may be NULL: out of memory). */
int mr_json_set(json_t *object, const char *key, json_t *value);
int mr_json_append(json_t *array, json_t *value);

/* The same for those who build a document to return: what fails leaves NULL in place of the object or array, which is
 * freed; NULL stays NULL. */
void mr_json_put(json_t **object, const char *key, json_t *value);
void mr_json_push(json_t **array, json_t *value);

/* object[key] of a type and range. It must be there; with _or it may be missing or null, which gives
 * `missing`. */
int mr_json_int(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *value);
int mr_json_int_or(const json_t *object, const char *key, int64_t low, int64_t high, int64_t missing, int64_t *value);
int mr_json_number(const json_t *object, const char *key, double *value);
int mr_json_number_or(const json_t *object, const char *key, double missing, double *value);
int mr_json_bool(const json_t *object, const char *key, bool *value);
int mr_json_bool_or(const json_t *object, const char *key, bool missing, bool *value);
/* The text, object or array belongs to `object`. */
int mr_json_string(const json_t *object, const char *key, const char **value);
int mr_json_string_or(const json_t *object, const char *key, const char *missing, const char **value);
int mr_json_object(const json_t *object, const char *key, json_t **value);
int mr_json_array(const json_t *object, const char *key, json_t **value);

#endif
