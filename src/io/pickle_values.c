/* SPDX-License-Identifier: GPL-3.0-or-later
 * Looking into what a pickle holds. */
#include <stdio.h>
#include <string.h>

#include "io/pickle.h"

const struct mr_pickled *mr_pickled_plain(const struct mr_pickled *value)
{
    return value->kind == MR_PICKLED_OBJECT && value->object->content ? value->object->content : value;
}

const struct mr_pickled *mr_pickled_get(const struct mr_pickled *dict, const char *key)
{
    const struct mr_pickled *found = NULL;
    dict = mr_pickled_plain(dict);
    for (uint32_t i = 0; dict->kind == MR_PICKLED_DICT && i + 1 < dict->count; i += 2) {
        const struct mr_pickled *k = dict->items[i];
        if (k->kind == MR_PICKLED_TEXT && k->size == strlen(key) && !memcmp(k->text, key, k->size))
            found = dict->items[i + 1];
    }
    return found;
}

bool mr_pickled_is(const struct mr_pickled *value, const char *module, const char *name)
{
    const struct mr_pickled_object *o = value->kind == MR_PICKLED_OBJECT ? value->object : NULL;
    return o && o->module->size == strlen(module) && !memcmp(o->module->text, module, o->module->size) &&
           o->name->size == strlen(name) && !memcmp(o->name->text, name, o->name->size);
}

void mr_pickle_full_name(const struct mr_pickled *module, const struct mr_pickled *name, char full[256])
{
    int n = snprintf(full, 256, "%.*s.%.*s", (int)(module->size < 120 ? module->size : 120), module->text,
                     (int)(name->size < 120 ? name->size : 120), name->text);
    for (int i = 0; i < n; i++)
        if ((unsigned char)full[i] < 32 || (unsigned char)full[i] > 126)
            full[i] = '?';
}
