/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/sizes.h"

#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "model/layer.h"

#define PILE 50277  /* the vocabulary of GPT-NeoX with RWKV-4's padding */
#define WORLD 65536 /* RWKV World's */
#define OPT 50272   /* GPT-2's with OPT's padding */

/* heads: of attention; RWKV-5 to 7 have heads of 64. lora: widths of RWKV-7's low-rank pairs w, a, v, g, where the
 * published files differ from what follows from the width. */
static const struct size {
    const char *name;
    int family, layers, heads, width, vocabulary, block, lora[4];
} sizes[] = {
    {"microrwkv", MR_MICRORWKV, 8, 8, 768, 50304, 1024, {0}},
    {"nanorwkv", MR_NANORWKV, 12, 12, 768, 50304, 1024, {0}},
    {"gpt2", MR_GPT2, 12, 12, 768, 50257, 1024, {0}},
    {"gpt2-medium", MR_GPT2, 24, 16, 1024, 50257, 1024, {0}},
    {"gpt2-large", MR_GPT2, 36, 20, 1280, 50257, 1024, {0}},
    {"gpt2-xl", MR_GPT2, 48, 25, 1600, 50257, 1024, {0}},
    {"rwkv4-169m", MR_RWKV4, 12, 1, 768, PILE, 1024, {0}},
    {"rwkv4-430m", MR_RWKV4, 24, 1, 1024, PILE, 1024, {0}},
    {"rwkv4-1b5", MR_RWKV4, 24, 1, 2048, PILE, 1024, {0}},
    {"rwkv4-3b", MR_RWKV4, 32, 1, 2560, PILE, 1024, {0}},
    {"rwkv4-7b", MR_RWKV4, 32, 1, 4096, PILE, 1024, {0}},
    {"rwkv4-14b", MR_RWKV4, 40, 1, 5120, PILE, 1024, {0}},
    {"rwkv5-0b1", MR_RWKV5, 12, 0, 768, WORLD, 4096, {0}},
    {"rwkv5-0b4", MR_RWKV5, 24, 0, 1024, WORLD, 4096, {0}},
    {"rwkv5-1b5", MR_RWKV5, 24, 0, 2048, WORLD, 4096, {0}},
    {"rwkv5-3b", MR_RWKV5, 32, 0, 2560, WORLD, 4096, {0}},
    {"rwkv5-7b", MR_RWKV5, 32, 0, 4096, WORLD, 4096, {0}},
    {"rwkv6-1b6", MR_RWKV6, 24, 0, 2048, WORLD, 4096, {0}},
    {"rwkv6-3b", MR_RWKV6, 32, 0, 2560, WORLD, 4096, {0}},
    {"rwkv6-7b", MR_RWKV6, 32, 0, 4096, WORLD, 4096, {0}},
    {"rwkv6-14b", MR_RWKV6, 61, 0, 4096, WORLD, 4096, {0}},
    {"rwkv7-0b1", MR_RWKV7, 12, 0, 768, WORLD, 4096, {64, 64, 32, 128}},
    {"rwkv7-0b4", MR_RWKV7, 24, 0, 1024, WORLD, 4096, {64, 64, 32, 128}},
    {"rwkv7-1b5", MR_RWKV7, 24, 0, 2048, WORLD, 4096, {96, 96, 64, 256}},
    {"rwkv7-2b9", MR_RWKV7, 32, 0, 2560, WORLD, 4096, {96, 96, 64, 320}},
    {"rwkv7-7b2", MR_RWKV7, 32, 0, 4096, WORLD, 4096, {128, 128, 96, 480}},
    {"rwkv7-13b3", MR_RWKV7, 61, 0, 4096, WORLD, 4096, {128, 128, 96, 480}},
    {"opt-125m", MR_OPT, 12, 12, 768, OPT, 2048, {0}},
    {"opt-1.3b", MR_OPT, 24, 32, 2048, OPT, 2048, {0}},
    {"opt-2.7b", MR_OPT, 32, 32, 2560, OPT, 2048, {0}},
    {"gpt-neo-125m", MR_GPTNEO, 12, 12, 768, 50257, 2048, {0}},
    {"gpt-neo-1.3b", MR_GPTNEO, 24, 16, 2048, 50257, 2048, {0}},
    {"gpt-neo-2.7b", MR_GPTNEO, 32, 20, 2560, 50257, 2048, {0}},
    {"pythia-70m", MR_GPTNEOX, 6, 8, 512, 50304, 2048, {0}},
    {"pythia-160m", MR_GPTNEOX, 12, 12, 768, 50304, 2048, {0}},
    {"pythia-410m", MR_GPTNEOX, 24, 16, 1024, 50304, 2048, {0}},
    {"pythia-1.4b", MR_GPTNEOX, 24, 16, 2048, 50304, 2048, {0}},
    {"pythia-2.8b", MR_GPTNEOX, 32, 32, 2560, 50304, 2048, {0}},
    /* The families, small enough to try. */
    {"opt", MR_OPT, 12, 12, 768, OPT, 2048, {0}},
    {"gptneo", MR_GPTNEO, 12, 12, 768, 50257, 2048, {0}},
    {"gptneox", MR_GPTNEOX, 6, 8, 512, 50304, 2048, {0}},
    {"rwkv4", MR_RWKV4, 12, 1, 768, PILE, 1024, {0}},
    {"rwkv5", MR_RWKV5, 12, 0, 768, WORLD, 4096, {0}},
    {"rwkv6", MR_RWKV6, 12, 0, 768, WORLD, 4096, {0}},
    {"rwkv7", MR_RWKV7, 12, 0, 768, WORLD, 4096, {0}},
};
#define SIZES ((int)(sizeof sizes / sizeof sizes[0]))

bool mr_is_model_word(const char *word)
{
    for (int i = 0; i < SIZES; i++)
        if (!strcmp(sizes[i].name, word))
            return true;
    return !strpbrk(word, "/.");
}

static int unknown(const char *name)
{
    const char *names[SIZES];
    char list[1000] = "";
    for (int i = 0; i < SIZES; i++) {
        names[i] = sizes[i].name;
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", names[i]);
    }
    return mr_fail(MR_EINVAL, "unknown model '%s': did you mean %s? Known models: %s", name,
                   mr_nearest(name, names, SIZES), list);
}

void mr_config_complete(struct mr_config *cfg, const struct mr_settings *given)
{
    if (!(mr_family(cfg)->keys & MR_KEYS_MICRO))
        return;
    if (!mr_settings_find(given, "aux"))
        cfg->aux = cfg->mode == MR_REFERENCE ? MR_AUX_NONE
                   : cfg->moe == MR_MOE_TOPK ? MR_AUX_BALANCE
                                             : MR_AUX_DIVERSITY;
    if (cfg->mode == MR_REFERENCE)
        cfg->positions = MR_POSITIONS_LEARNED;
}

int mr_config_by_name(struct mr_config *cfg, const char *name, const struct mr_settings *given)
{
    const struct size *s = sizes;
    while (s < sizes + SIZES && mr_edit_distance(s->name, name) != 0)
        s++;
    if (s == sizes + SIZES)
        return unknown(name);
    mr_config_defaults(cfg, s->family);
    cfg->n_layer = s->layers;
    cfg->n_embd = s->width;
    cfg->vocab_size = s->vocabulary;
    cfg->block_size = s->block;
    cfg->n_head = s->heads ? s->heads : s->width / cfg->head_size;
    if (!mr_settings_find(given, "n_embd"))
        memcpy(cfg->lora_dim, s->lora, sizeof s->lora);
    if (mr_settings_find(given, "family"))
        return mr_fail(MR_EINVAL, "the family follows from the name %s: it cannot be set", name);
    MR_TRY(mr_config_set_all(cfg, given));
    if (mr_family(cfg)->heads_by_size && cfg->head_size > 0)
        cfg->n_head = mr_head_count(cfg);
    mr_config_complete(cfg, given);
    return mr_config_check(cfg);
}
