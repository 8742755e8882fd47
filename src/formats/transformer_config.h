/* SPDX-License-Identifier: GPL-3.0-or-later
 * config.json of GPT-2, OPT, GPT-Neo and GPT-NeoX as transformers writes it. */
#ifndef MR_FORMATS_TRANSFORMER_CONFIG_H
#define MR_FORMATS_TRANSFORMER_CONFIG_H

#include <jansson.h>

#include "model/config.h"

/* NULL: out of memory. */
json_t *mr_transformer_config(const struct mr_config *cfg);

/* Whether nanoGPT (or, `gguf`, llama.cpp) can be told what this GPT-2 computes; MR_EINVAL names what it cannot. */
int mr_gpt2_is_usual(const struct mr_config *cfg, bool gguf);

#endif
