/* SPDX-License-Identifier: GPL-3.0-or-later
 * Settings to and from JSON. */
#ifndef MR_BASE_SETTINGS_JSON_H
#define MR_BASE_SETTINGS_JSON_H

#include <jansson.h>

#include "base/settings.h"

/* A list or an object becomes MR_VALUE_OTHER. The caller frees the value. */
int mr_value_from_json(struct mr_value *value, const json_t *json);
/* NULL: out of memory. */
json_t *mr_value_to_json(const struct mr_value *value);
/* Adds the plain values of an object (or NULL); null, lists and objects are left out. */
int mr_settings_from_json(struct mr_settings *settings, const json_t *object);
json_t *mr_settings_to_json(const struct mr_settings *settings);

#endif
