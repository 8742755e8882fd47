/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/families/families.h"

const struct mr_family *mr_family(const struct mr_config *cfg)
{
    switch (cfg->family) {
    case MR_NANORWKV:
        return &mr_family_nanorwkv;
    case MR_GPT2:
        return &mr_family_gpt2;
    case MR_RWKV4:
        return &mr_family_rwkv4;
    case MR_RWKV5:
        return &mr_family_rwkv5;
    case MR_RWKV6:
        return &mr_family_rwkv6;
    case MR_RWKV7:
        return &mr_family_rwkv7;
    default:
        return &mr_family_microrwkv;
    }
}
