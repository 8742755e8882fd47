/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the commands need of a session beyond the public interface. */
#ifndef MR_INFER_SESSION_H
#define MR_INFER_SESSION_H

#include <jansson.h>

#include "microrwkv/microrwkv.h"
#include "text/tokenizer.h"

/* mr_session_open with `--config` overrides (an object, or NULL) and a tokenizer's spec (or NULL). */
int mr_session_open_with(mr_session **session, mr_runtime *rt, const char *model, const json_t *overrides,
                         const char *tokenizer);
/* The tokenizer, or NULL. */
const mr_tokenizer *mr_session_tokenizer(const mr_session *session);

#endif
