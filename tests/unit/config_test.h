/* SPDX-License-Identifier: GPL-3.0-or-later
 * Configurations for tests, written as JSON. */
#ifndef MR_CONFIG_TEST_H
#define MR_CONFIG_TEST_H

#include "unit_test.h"

#include "formats/config_json.h"
#include "model/sizes.h"

/* Of a size's name, with configuration keys laid over it. */
static inline struct mr_config test_config(const char *name, const char *keys)
{
    struct mr_config cfg;
    struct mr_settings given = {0};
    json_t *json = json_loads(keys, 0, NULL);
    assert_non_null(json);
    assert_ok(mr_settings_from_json(&given, json));
    assert_ok(mr_config_by_name(&cfg, name, &given));
    mr_settings_free(&given);
    json_decref(json);
    return cfg;
}

#endif
