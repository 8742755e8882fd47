/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/file_kind.h"
#include "base/json_scan.h"
#include "base/str.h"
#include "base/utf8.h"

enum { LARGEST_FILE = 256 << 20 };

/* Whether the text is valid after all: jansson tells an allocation that fails within a word as wrong syntax. */
static bool is_valid(const char *text, size_t size)
{
    struct mr_json_scan scan = {.strict = true};
    int err = mr_json_scan(&scan, text, size);
    mr_json_scan_end(&scan);
    bool valid = err || !scan.error;
    mr_json_scan_free(&scan);
    return valid;
}

static bool is_out_of_memory(const json_error_t *error, const char *text, size_t size)
{
    enum json_error_code code = json_error_code(error);
    return code == json_error_out_of_memory || !*error->text ||
           (code == json_error_invalid_syntax && is_valid(text, size));
}

int mr_json_parse(json_t **json, const char *text, size_t size, const char *what)
{
    json_error_t error, second;
    struct mr_str mended = {0};
    size_t mark = mr_utf8_mark(text, size);
    *json = json_loadb(text + mark, size - mark, JSON_REJECT_DUPLICATES, &error);
    int err = *json ? 0 : mr_json_mend(text + mark, size - mark, &mended);
    if (mended.size) {
        *json = json_loadb(mended.text, mended.size, JSON_REJECT_DUPLICATES, &second);
        if (!*json && is_out_of_memory(&second, mended.text, mended.size))
            err = MR_ENOMEM;
    }
    mr_str_free(&mended);
    if (*json)
        return 0;
    if (err)
        return mr_fail(MR_ENOMEM, "%s: out of memory while parsing JSON", what);
    return mr_fail(MR_EFILE, "%s is not valid JSON: line %d, column %d: %s", what, error.line, error.column,
                   error.text);
}

int mr_json_load(json_t **json, const char *path)
{
    struct mr_str text = {0};
    int err = mr_file_read(path, LARGEST_FILE, &text);
    if (!err)
        err = mr_json_parse(json, text.text ? text.text : "", text.size, path);
    mr_str_free(&text);
    return err == MR_EFILE ? mr_fail_kind(err, path) : err;
}

int mr_json_save(const json_t *json, const char *path)
{
    struct mr_str text = {0};
    char *dump = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);
    int err = dump ? mr_str_printf(&text, "%s\n", dump) : mr_fail(MR_ENOMEM, "%s: out of memory", path);
    if (!err)
        err = mr_file_write(path, text.text, text.size);
    free(dump);
    mr_str_free(&text);
    return err;
}

char *mr_json_text(const json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        mr_fail(MR_ENOMEM, "out of memory for a JSON string");
    return text;
}

json_t *mr_json_real(double value)
{
    if (isfinite(value))
        return json_real(value);
    return json_string(isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
}

json_t *mr_json_finite(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *mr_json_repaired(const char *bytes, size_t size)
{
    struct mr_str text = {0};
    json_t *string = NULL;
    if (!mr_utf8_repair(bytes, size, &text, NULL))
        string = json_stringn(text.text ? text.text : "", text.size);
    mr_str_free(&text);
    return string;
}

int mr_json_set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value)
               ? mr_fail(MR_ENOMEM, "out of memory for \"%s\" of a JSON object", key)
               : 0;
}

int mr_json_append(json_t *array, json_t *value)
{
    return json_array_append_new(array, value) ? mr_fail(MR_ENOMEM, "out of memory for a JSON array") : 0;
}

void mr_json_put(json_t **object, const char *key, json_t *value)
{
    if (!json_object_set_new(*object, key, value))
        return;
    json_decref(*object);
    *object = NULL;
}

void mr_json_push(json_t **array, json_t *value)
{
    if (!json_array_append_new(*array, value))
        return;
    json_decref(*array);
    *array = NULL;
}

/* The value, or NULL when it is missing or null. */
static const json_t *lookup(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int missing_key(const char *key)
{
    return mr_fail(MR_EFILE, "\"%s\" is missing", key);
}

/* "KEY" must be WANTED, not what it is (cut to a readable length). */
static int wrong(const char *key, const char *wanted, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    int err = mr_fail(MR_EFILE, "\"%s\" must be %s, not %.60s%s", key, wanted, text ? text : "this",
                      text && strlen(text) > 60 ? "..." : "");
    free(text);
    return err;
}

static int as_int(const char *key, const json_t *value, int64_t low, int64_t high, int64_t *out)
{
    double real = json_is_real(value) ? json_real_value(value) : 0.5;
    int64_t n = json_is_integer(value) ? json_integer_value(value) : 0;
    bool whole = json_is_integer(value);
    if (real == floor(real) && fabs(real) < 0x1p53) { /* 64.0 is how some programs write 64 */
        n = (int64_t)real;
        whole = true;
    }
    if (!whole || n < low || n > high) {
        char range[96];
        if (high == INT64_MAX)
            snprintf(range, sizeof range, "an integer of at least %lld", (long long)low);
        else
            snprintf(range, sizeof range, "an integer from %lld to %lld", (long long)low, (long long)high);
        return wrong(key, low == INT64_MIN ? "an integer" : range, value);
    }
    *out = n;
    return 0;
}

int mr_json_int(const json_t *object, const char *key, int64_t low, int64_t high, int64_t *out)
{
    const json_t *value = lookup(object, key);
    return value ? as_int(key, value, low, high, out) : missing_key(key);
}

int mr_json_int_or(const json_t *object, const char *key, int64_t low, int64_t high, int64_t missing, int64_t *out)
{
    const json_t *value = lookup(object, key);
    *out = missing;
    return value ? as_int(key, value, low, high, out) : 0;
}

static int as_number(const char *key, const json_t *value, double *out)
{
    static const struct {
        const char *name;
        double value;
    } special[] = {{"inf", INFINITY}, {"-inf", -INFINITY}, {"nan", NAN}};
    const char *text = json_string_value(value);
    for (size_t i = 0; text && i < sizeof special / sizeof *special; i++)
        if (!strcmp(text, special[i].name)) {
            *out = special[i].value;
            return 0;
        }
    if (!json_is_number(value))
        return wrong(key, "a number", value);
    *out = json_number_value(value);
    return 0;
}

int mr_json_number(const json_t *object, const char *key, double *out)
{
    const json_t *value = lookup(object, key);
    return value ? as_number(key, value, out) : missing_key(key);
}

int mr_json_number_or(const json_t *object, const char *key, double missing, double *out)
{
    const json_t *value = lookup(object, key);
    *out = missing;
    return value ? as_number(key, value, out) : 0;
}

int mr_json_bool(const json_t *object, const char *key, bool *out)
{
    const json_t *value = lookup(object, key);
    if (!value)
        return missing_key(key);
    if (!json_is_boolean(value))
        return wrong(key, "true or false", value);
    *out = json_is_true(value);
    return 0;
}

int mr_json_bool_or(const json_t *object, const char *key, bool missing, bool *out)
{
    *out = missing;
    return lookup(object, key) ? mr_json_bool(object, key, out) : 0;
}

int mr_json_string(const json_t *object, const char *key, const char **out)
{
    const json_t *value = lookup(object, key);
    if (!value)
        return missing_key(key);
    if (!json_is_string(value))
        return wrong(key, "a text", value);
    *out = json_string_value(value);
    return 0;
}

int mr_json_string_or(const json_t *object, const char *key, const char *missing, const char **out)
{
    *out = missing;
    return lookup(object, key) ? mr_json_string(object, key, out) : 0;
}

int mr_json_object(const json_t *object, const char *key, json_t **out)
{
    json_t *value = json_object_get(object, key);
    if (!value)
        return missing_key(key);
    *out = json_is_object(value) ? value : NULL;
    return *out ? 0 : wrong(key, "an object", value);
}

int mr_json_array(const json_t *object, const char *key, json_t **out)
{
    json_t *value = json_object_get(object, key);
    if (!value)
        return missing_key(key);
    *out = json_is_array(value) ? value : NULL;
    return *out ? 0 : wrong(key, "an array", value);
}
