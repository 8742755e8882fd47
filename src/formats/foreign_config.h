/* SPDX-License-Identifier: GPL-3.0-or-later
 * config.json of other programs: what of it is ours under another name, what must have the one value that is computed
 * here, and what changes nothing. Everything else is named in a warning. */
#ifndef MR_FORMATS_FOREIGN_CONFIG_H
#define MR_FORMATS_FOREIGN_CONFIG_H

#include <jansson.h>

#include "model/config.h"

/* Lays it over cfg, whose family and shapes are known and over which its keys of our own names were laid already.
 * MR_EFILE: it asks for something else than is computed here. */
int mr_foreign_config(struct mr_config *cfg, const json_t *said);

#endif
