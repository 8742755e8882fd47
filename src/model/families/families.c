/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/families/families.h"

const struct mr_family *mr_family(const struct mr_config *cfg)
{
    switch (cfg->family) {
    default:
        return &mr_family_microrwkv;
    }
}
