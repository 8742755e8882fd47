/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/settings_json.h"

#include <string.h>

#include "base/error.h"

int mr_value_from_json(struct mr_value *value, const json_t *json)
{
    *value = (struct mr_value){.kind = MR_VALUE_OTHER};
    if (!json || json_is_null(json))
        *value = (struct mr_value){.kind = MR_VALUE_NONE};
    else if (json_is_boolean(json))
        *value = (struct mr_value){.kind = MR_VALUE_BOOL, .yes = json_is_true(json)};
    else if (json_is_integer(json))
        *value = (struct mr_value){.kind = MR_VALUE_INT, .integer = json_integer_value(json)};
    else if (json_is_real(json))
        *value = (struct mr_value){.kind = MR_VALUE_REAL, .real = json_real_value(json)};
    else if (json_is_string(json))
        return mr_value_text(value, json_string_value(json), strlen(json_string_value(json)));
    return 0;
}

json_t *mr_value_to_json(const struct mr_value *value)
{
    switch (value->kind) {
    case MR_VALUE_BOOL:
        return json_boolean(value->yes);
    case MR_VALUE_INT:
        return json_integer(value->integer);
    case MR_VALUE_REAL:
        return json_real(value->real);
    case MR_VALUE_TEXT:
        return json_string(value->text);
    default:
        return json_null();
    }
}

int mr_settings_from_json(struct mr_settings *settings, const json_t *object)
{
    const char *key;
    json_t *json;
    json_object_foreach((json_t *)(uintptr_t)object, key, json) {
        struct mr_value value;
        int err = mr_value_from_json(&value, json);
        if (!err && value.kind != MR_VALUE_NONE && value.kind != MR_VALUE_OTHER)
            err = mr_settings_set(settings, key, &value);
        mr_value_free(&value);
        MR_TRY(err);
    }
    return 0;
}

json_t *mr_settings_to_json(const struct mr_settings *settings)
{
    json_t *object = json_object();
    for (size_t i = 0; object && i < settings->count; i++) {
        if (json_object_set_new(object, settings->list[i].key, mr_value_to_json(&settings->list[i].value))) {
            json_decref(object);
            object = NULL;
        }
    }
    if (!object)
        mr_fail(MR_ENOMEM, "out of memory for settings");
    return object;
}
