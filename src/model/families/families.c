/* SPDX-License-Identifier: GPL-3.0-or-later
 * The list of families, in the order of enum mr_family_id. */
#include "model/families/families.h"

#include <string.h>

static const struct mr_family *const families[MR_FAMILIES] = {
    [MR_MICRORWKV] = &mr_family_microrwkv, [MR_NANORWKV] = &mr_family_nanorwkv, [MR_GPT2] = &mr_family_gpt2,
    [MR_RWKV4] = &mr_family_rwkv4,         [MR_RWKV5] = &mr_family_rwkv5,       [MR_RWKV6] = &mr_family_rwkv6,
    [MR_RWKV7] = &mr_family_rwkv7,         [MR_OPT] = &mr_family_opt,           [MR_GPTNEO] = &mr_family_gptneo,
    [MR_GPTNEOX] = &mr_family_gptneox,
};

const struct mr_family *mr_family(const struct mr_config *cfg)
{
    static const struct mr_family unknown = {.name = "unknown"};
    return cfg->family >= 0 && cfg->family < MR_FAMILIES ? families[cfg->family] : &unknown;
}

const struct mr_branch *mr_family_branches(const struct mr_config *cfg)
{
    const struct mr_family *family = mr_family(cfg);
    return family->choose ? family->choose(cfg) : family->branches;
}

const char *mr_family_name(int family)
{
    return family >= 0 && family < MR_FAMILIES ? families[family]->name : "unknown";
}

int mr_family_by_name(const char *name)
{
    char known[160] = "";
    for (int i = 0; i < MR_FAMILIES; i++) {
        if (strcmp(name, families[i]->name) == 0)
            return i;
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, families[i]->name, sizeof known - strlen(known) - 1);
    }
    return mr_fail(MR_EINVAL, "unknown family '%s': it must be one of %s", name, known);
}
