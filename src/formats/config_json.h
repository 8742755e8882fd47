/* SPDX-License-Identifier: GPL-3.0-or-later
 * Configurations as the JSON of files has them. */
#ifndef MR_FORMATS_CONFIG_JSON_H
#define MR_FORMATS_CONFIG_JSON_H

#include "base/settings_json.h"
#include "model/config.h"

/* Sets one key, or all keys that an object has: as mr_config_set and mr_config_set_all. */
int mr_config_set_json(struct mr_config *cfg, const char *key, const json_t *value);
int mr_config_set_all_json(struct mr_config *cfg, const json_t *object);
/* The keys that mean something for the family, in a fixed order; NULL: out of memory. */
json_t *mr_config_to_json(const struct mr_config *cfg);
/* The same as compact text with sorted keys, to be hashed; the caller frees it. NULL: out of memory. */
char *mr_config_text(const struct mr_config *cfg);

#endif
