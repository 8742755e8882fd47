/* SPDX-License-Identifier: GPL-3.0-or-later
 * One table a family. */
#ifndef MR_MODEL_FAMILIES_FAMILIES_H
#define MR_MODEL_FAMILIES_FAMILIES_H

#include "model/layer.h"

extern const struct mr_family mr_family_microrwkv, mr_family_nanorwkv, mr_family_gpt2;

#endif
