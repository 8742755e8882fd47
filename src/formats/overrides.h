/* SPDX-License-Identifier: GPL-3.0-or-later
 * Overrides of a model's configuration as words: "key=value", the value JSON's, True, False, or else a text. */
#ifndef MR_FORMATS_OVERRIDES_H
#define MR_FORMATS_OVERRIDES_H

#include "base/settings.h"

/* Adds one. MR_EINVAL: no key of a model, or not a value of it. */
int mr_config_word(const char *word, struct mr_settings *settings);
/* Adds all of them, the last one NULL (or words NULL). */
int mr_config_words(const char *const *words, struct mr_settings *settings);

#endif
