/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the functions for checking a model against others share. */
#ifndef MR_API_LOGITS_H
#define MR_API_LOGITS_H

#include "model/config.h"

/* That the model has these tokens, and learned positions for all of them (MR_EFILE). */
int mr_check_positions(const struct mr_config *cfg, const int32_t *tokens, int count);

#endif
