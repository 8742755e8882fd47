/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/settings.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/utf8.h"

void mr_value_free(struct mr_value *value)
{
    if (value->kind == MR_VALUE_TEXT)
        free(value->text);
    *value = (struct mr_value){0};
}

int mr_value_copy(struct mr_value *to, const struct mr_value *from)
{
    struct mr_value copy = *from;
    if (from->kind == MR_VALUE_TEXT && !(copy.text = mr_strdup(from->text)))
        return MR_ENOMEM;
    *to = copy;
    return 0;
}

int mr_value_text(struct mr_value *value, const char *text, size_t size)
{
    if (memchr(text, 0, size) || mr_utf8_valid(text, size) != size)
        return mr_fail(MR_EINVAL, "a string is not UTF-8, or contains a zero byte");
    char *copy = mr_alloc(size + 1, 1);
    if (!copy)
        return MR_ENOMEM;
    memcpy(copy, text, size);
    *value = (struct mr_value){.kind = MR_VALUE_TEXT, .text = copy};
    return 0;
}

bool mr_value_is_number(const struct mr_value *value)
{
    return value->kind == MR_VALUE_INT || value->kind == MR_VALUE_REAL;
}

double mr_value_number(const struct mr_value *value)
{
    return value->kind == MR_VALUE_INT ? (double)value->integer : value->kind == MR_VALUE_REAL ? value->real : 0;
}

bool mr_value_equal(const struct mr_value *a, const struct mr_value *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case MR_VALUE_BOOL:
        return a->yes == b->yes;
    case MR_VALUE_INT:
        return a->integer == b->integer;
    case MR_VALUE_REAL:
        return mr_value_number(a) == mr_value_number(b);
    case MR_VALUE_TEXT:
        return strcmp(a->text, b->text) == 0;
    case MR_VALUE_NONE:
        return true;
    default:
        return false;
    }
}

void mr_settings_free(struct mr_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        free(settings->list[i].key);
        mr_value_free(&settings->list[i].value);
    }
    free(settings->list);
    *settings = (struct mr_settings){0};
}

static struct mr_value *find(const struct mr_settings *settings, const char *key)
{
    for (size_t i = 0; settings && i < settings->count; i++)
        if (strcmp(settings->list[i].key, key) == 0)
            return &settings->list[i].value;
    return NULL;
}

const struct mr_value *mr_settings_find(const struct mr_settings *settings, const char *key)
{
    return find(settings, key);
}

int mr_settings_set(struct mr_settings *settings, const char *key, const struct mr_value *value)
{
    struct mr_value *old = find(settings, key), copy;
    MR_TRY(mr_value_copy(&copy, value));
    if (old) {
        mr_value_free(old);
        *old = copy;
        return 0;
    }
    char *name = mr_strdup(key);
    int err =
        name ? mr_grow(&settings->list, &settings->capacity, settings->count + 1, sizeof *settings->list) : MR_ENOMEM;
    if (err) {
        free(name);
        mr_value_free(&copy);
        return err;
    }
    settings->list[settings->count++] = (struct mr_setting){name, copy};
    return 0;
}
