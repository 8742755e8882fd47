/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models by name: the sizes that were published, and the families themselves. */
#ifndef MR_MODEL_SIZES_H
#define MR_MODEL_SIZES_H

#include "model/config.h"

/* The configuration of the model of that name, with `given` (configuration keys, or NULL) laid over it.
 * MR_EINVAL names the nearest one. */
int mr_config_by_name(struct mr_config *cfg, const char *name, const struct mr_settings *given);
/* Whether a word names a model here, known or not, rather than a file: those that are not known have no / and no point.
 */
bool mr_is_model_word(const char *word);

/* What follows from the keys that were given, for those that were not: the auxiliary term goes with the kind of
 * mixture, the reference mode has learned positions. */
void mr_config_complete(struct mr_config *cfg, const struct mr_settings *given);

#endif
