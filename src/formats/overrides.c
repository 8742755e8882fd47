/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/overrides.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "formats/config_json.h"

static json_t *parse(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (value)
        return value;
    if (strcmp(text, "True") == 0 || strcmp(text, "False") == 0)
        return json_boolean(text[0] == 'T');
    return json_string(text);
}

int mr_config_word(const char *word, struct mr_settings *settings)
{
    const char *equals = strchr(word, '=');
    struct mr_config scratch = {0};
    struct mr_value value;
    char key[64];
    if (!equals)
        return mr_fail(MR_EINVAL, "--config '%s' is not of the form key=value", word);
    snprintf(key, sizeof key, "%.*s", (int)(equals - word), word);
    if (mr_utf8_valid(word, strlen(word)) < strlen(word))
        return mr_fail(MR_EINVAL, "--config '%s' is not valid text", word);
    json_t *json = parse(equals + 1);
    if (!json)
        return mr_fail(MR_ENOMEM, "out of memory for --config '%s'", word);
    int err = mr_value_from_json(&value, json);
    json_decref(json);
    MR_TRY(err);
    err = mr_config_set(&scratch, key, &value, NULL); /* a key and a value that fit */
    if (!err)
        err = mr_settings_set(settings, key, &value);
    mr_value_free(&value);
    return err;
}

int mr_config_words(const char *const *words, struct mr_settings *settings)
{
    for (; words && *words; words++)
        MR_TRY(mr_config_word(*words, settings));
    return 0;
}
