/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/config_json.h"

#include "base/json.h"

int mr_config_set_json(struct mr_config *cfg, const char *key, const json_t *json)
{
    struct mr_value value;
    MR_TRY(mr_value_from_json(&value, json));
    int err = mr_config_set(cfg, key, &value, NULL);
    mr_value_free(&value);
    return err;
}

int mr_config_set_all_json(struct mr_config *cfg, const json_t *object)
{
    for (int i = 0; mr_config_key(i); i++) {
        const json_t *value = json_object_get(object, mr_config_key(i));
        if (value && !json_is_null(value))
            MR_TRY(mr_config_set_json(cfg, mr_config_key(i), value));
    }
    return 0;
}

json_t *mr_config_to_json(const struct mr_config *cfg)
{
    struct mr_settings settings = {0};
    json_t *object = mr_config_settings(cfg, &settings) ? NULL : mr_settings_to_json(&settings);
    mr_settings_free(&settings);
    return object;
}

char *mr_config_text(const struct mr_config *cfg)
{
    json_t *json = mr_config_to_json(cfg);
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(json);
    if (!text)
        mr_fail(MR_ENOMEM, "out of memory for the configuration's text");
    return text;
}
