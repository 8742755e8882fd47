/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tensors of GGUF files as llama.cpp wants them. */
#include "formats/gguf_export.h"

#include <stdio.h>
#include <string.h>

#include "formats/names.h"
#include "model/layer.h"

/* llama.cpp wants all but the large matrices in f32. */
bool mr_gguf_keeps_f32(const struct mr_param *p)
{
    size_t size = strlen(p->name);
    return p->ndim != 2 || size < 7 || strcmp(p->name + size - 7, ".weight") != 0 ||
           strcmp(p->name, "transformer.wpe.weight") == 0;
}

/* Embedding and head lose more than other matrices: 8 bits there, as llama.cpp's own files have more than elsewhere. */
int mr_gguf_quantised(const struct mr_param *p, int wanted)
{
    bool end =
        !strcmp(p->name, "emb.weight") || !strcmp(p->name, "head.weight") || !strcmp(p->name, "transformer.wte.weight");
    return end && mr_dtype_block((enum mr_dtype)wanted) > 1 ? MR_DTYPE_Q8_0 : wanted;
}

/* GGUF has no dimensions of 1, but for mixtures that are joined; boni by head of RWKV-7 are a vector. */
int mr_gguf_shape(const struct mr_param *p, const struct mr_place *place, int64_t *shape, int ndim)
{
    const char *leaf = strrchr(p->name, '.');
    if (place->change == MR_JOINED) {
        shape[0] = place->parts;
        shape[1] = shape[2] = 1;
        shape[3] = (int64_t)p->count;
        return 4;
    }
    if (leaf && !strcmp(leaf, ".r_k")) {
        shape[0] = (int64_t)p->count;
        return 1;
    }
    if (!strncmp(p->name + strlen(p->name) - 7, ".weight", 7) && ndim == 2)
        return ndim;
    return mr_export_drop_ones(shape, ndim);
}

/* llama.cpp wants v0, v1, v2 in block 0 of RWKV-7, where they are not used, and in the shapes of a0, a1, a2. */
const struct mr_param *mr_gguf_stands_for(const struct mr_export *e, const struct mr_param *p)
{
    const struct mr_params *params = &e->params;
    char name[] = "blocks.0.att.a0";
    if (e->layout != MR_LAYOUT_GGUF || !mr_may_be_missing(&e->cfg, p->name))
        return p;
    name[strlen(name) - 1] = p->name[strlen(p->name) - 1];
    for (int i = 0; i < params->count; i++)
        if (!strcmp(params->list[i]->name, name))
            return params->list[i];
    return p;
}

/* llama.cpp wants every bias of GPT-2. */
int mr_gguf_add_biases(struct mr_export *e)
{
    static const char *const names[] = {"attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down"};
    if (e->layout != MR_LAYOUT_GGUF || !mr_is_gpt2(&e->cfg) || e->cfg.bias)
        return 0;
    for (int i = 0; i <= e->cfg.n_layer * 6; i++) {
        bool last = i == e->cfg.n_layer * 6;
        int width = last || (i % 6 != 1 && i % 6 != 4) ? e->cfg.n_embd
                    : i % 6 == 1                       ? 3 * e->cfg.n_embd
                                                       : mr_ffn_width(&e->cfg);
        char name[64];
        snprintf(name, sizeof name, last ? "output_norm.bias" : "blk.%d.%s.bias", i / 6, names[i % 6]);
        struct mr_output *o = mr_export_add(e, name, MR_OUTPUT_WEIGHT);
        if (!o)
            return MR_ENOMEM;
        o->parts = 1;
        o->count[0] = (size_t)width;
        e->tensors[e->count - 1].ndim = 1;
        e->tensors[e->count - 1].shape[0] = (int64_t)o->count[0];
    }
    return 0;
}
