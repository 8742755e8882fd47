/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "cli/cli.h"
#include "cli/info.h"

static void print_value(const json_t *value)
{
    if (json_is_string(value))
        printf("%s", json_string_value(value));
    else if (json_is_integer(value))
        printf("%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        printf("%g", json_real_value(value));
    else
        printf("%s", json_is_true(value) ? "true" : json_is_false(value) ? "false" : "none");
}

/* key value, key value, … in lines of at most some 100 columns. */
static void print_pairs(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    int column = 0;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        if (json_is_object(value) || json_is_array(value))
            continue;
        if (column == 0 || column > 78) {
            printf("%s%-14s", column ? "\n" : "", column ? "" : title);
            column = 14;
        }
        column += printf(column > 14 ? ", %s " : "%s ", key);
        print_value(value);
        column += 6;
    }
    if (column)
        putchar('\n');
}

static void print_bytes(const char *title, const json_t *object)
{
    const char *key;
    json_t *value;
    bool first = true;
    json_object_foreach((json_t *)(uintptr_t)object, key, value) {
        char text[24];
        if (json_integer_value(value) == 0)
            continue;
        first ? printf("%-14s", title) : printf(", ");
        printf("%s %s", key, mr_format_bytes(text, (uint64_t)json_integer_value(value)));
        first = false;
    }
    if (!first)
        putchar('\n');
}

static void print_shape(const json_t *shape, char *out, size_t size)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (size_t i = 0; i < json_array_size(shape) && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "",
                                 (long long)json_integer_value(json_array_get(shape, i)));
    if (used < size)
        snprintf(out + used, size - used, ")");
}

static void print_tensors(const json_t *list)
{
    int width = 6;
    for (size_t i = 0; i < json_array_size(list); i++) {
        int size = (int)strlen(json_string_value(json_object_get(json_array_get(list, i), "name")));
        width = size > width ? size : width;
    }
    printf("\n%-*s %-5s %-16s %11s %11s %11s %11s %6s %6s\n", width, "tensor", "dtype", "shape", "min", "max", "mean",
           "std", "nan", "inf");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);
        static const char *const keys[] = {"min", "max", "mean", "std"};
        char shape[96];
        print_shape(json_object_get(t, "shape"), shape, sizeof shape);
        printf("%-*s %-5s %-16s", width, json_string_value(json_object_get(t, "name")),
               json_string_value(json_object_get(t, "dtype")), shape);
        for (size_t k = 0; k < MR_COUNT(keys); k++) {
            const json_t *value = json_object_get(t, keys[k]);
            json_is_number(value) ? printf(" %11.4g", json_number_value(value)) : printf(" %11s", "-");
        }
        printf(" %6lld %6lld\n", (long long)json_integer_value(json_object_get(t, "nan")),
               (long long)json_integer_value(json_object_get(t, "inf")));
    }
}

int mr_info_print(const json_t *info)
{
    const json_t *tensors = json_object_get(info, "tensors"), *tokenizer = json_object_get(info, "tokenizer");
    const json_t *training = json_object_get(info, "training"), *plan;
    printf("%-14s%s", "family", json_string_value(json_object_get(info, "family")));
    if (strcmp(json_string_value(json_object_get(info, "family")), "microrwkv") == 0)
        printf(", mode %s", json_string_value(json_object_get(info, "mode")));
    putchar('\n');
    print_pairs("config", json_object_get(info, "config"));
    printf("%-14s%.2f M, without embeddings %.2f M\n", "parameters",
           1e-6 * json_number_value(json_object_get(info, "parameters")),
           1e-6 * json_number_value(json_object_get(info, "parameters_without_embeddings")));
    print_pairs("precision", json_object_get(info, "precision"));
    if (tensors)
        printf(
            "%-14s%lld\n", "tensors",
            (long long)(json_is_array(tensors) ? (json_int_t)json_array_size(tensors) : json_integer_value(tensors)));
    json_is_object(tokenizer) ? print_pairs("tokenizer", tokenizer)
                              : (void)(tensors && printf("%-14snone inside\n", "tokenizer"));
    json_is_object(training) ? print_pairs("training", training) : (void)(tensors && printf("%-14snone\n", "training"));
    if (json_object_get(info, "digest"))
        printf("%-14s%s\n", "digest", json_string_value(json_object_get(info, "digest")));
    const char *key;
    json_t *value;
    plan = json_object_get(info, "plan");
    json_object_foreach((json_t *)(uintptr_t)plan, key, value)
        print_bytes(key, value);
    if (json_is_array(tensors))
        print_tensors(tensors);
    return 0;
}
