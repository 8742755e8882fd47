/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/fla.h"

#include <stdio.h>
#include <string.h>

#include "model/layer.h"

#define LAYER "model.layers.%d."
#define ATT "blocks.%d.att."
#define A LAYER "attn."
#define PAIR(ours, theirs)                                                   \
    {ATT ours "1", A theirs "_lora.lora.0.weight", MR_TRANSPOSED, 0, 0},     \
        {ATT ours "2", A theirs "_lora.lora.2.weight", MR_TRANSPOSED, 0, 0}, \
    {                                                                        \
        ATT ours "0", A theirs "_lora.lora.2.bias", 0, 0, 0                  \
    }

/* Older files have the six mixtures as the rows of x_x. */
const struct mr_name_rule mr_fla_rules[] = {
    {ATT "x_r", A "x_r", 0, 0, 0},
    {ATT "x_w", A "x_w", 0, 0, 0},
    {ATT "x_k", A "x_k", 0, 0, 0},
    {ATT "x_v", A "x_v", 0, 0, 0},
    {ATT "x_a", A "x_a", 0, 0, 0},
    {ATT "x_g", A "x_g", 0, 0, 0},
    {ATT "x_r", A "x_x", MR_JOINED, 0, 6},
    {ATT "x_w", A "x_x", MR_JOINED, 1, 6},
    {ATT "x_k", A "x_x", MR_JOINED, 2, 6},
    {ATT "x_v", A "x_x", MR_JOINED, 3, 6},
    {ATT "x_a", A "x_x", MR_JOINED, 4, 6},
    {ATT "x_g", A "x_x", MR_JOINED, 5, 6},
    PAIR("w", "w"),
    PAIR("a", "a"),
    PAIR("v", "v"),
    PAIR("g", "g"),
    {ATT "k_k", A "k_k", 0, 0, 0},
    {ATT "k_a", A "k_a", 0, 0, 0},
    {ATT "r_k", A "r_k", 0, 0, 0},
    {ATT "receptance.weight", A "r_proj.weight", 0, 0, 0},
    {ATT "key.weight", A "k_proj.weight", 0, 0, 0},
    {ATT "value.weight", A "v_proj.weight", 0, 0, 0},
    {ATT "output.weight", A "o_proj.weight", 0, 0, 0},
    {ATT "ln_x.*", A "g_norm.*", 0, 0, 0},
    {"blocks.%d.ffn.*", LAYER "ffn.*", 0, 0, 0},
    {"blocks.0.ln0.*", "model.layers.0.pre_norm.*", 0, 0, 0},
    {"blocks.%d.ln1.*", LAYER "attn_norm.*", 0, 0, 0},
    {"blocks.%d.ln2.*", LAYER "ffn_norm.*", 0, 0, 0},
    {"emb.*", "model.embeddings.*", 0, 0, 0},
    {"ln_out.*", "model.norm.*", 0, 0, 0},
    {"head.*", "lm_head.*", 0, 0, 0},
    {0},
};

int mr_fla_check(const mr_tensor_file *source, const char *prefix)
{
    static const char *const rwkv6[] = {"attn.x_proj.0.mu", "attn.bonus"};
    char name[160];
    for (size_t i = 0; i < sizeof rwkv6 / sizeof *rwkv6; i++) {
        snprintf(name, sizeof name, "%smodel.layers.0.%s", prefix, rwkv6[i]);
        if (mr_tensor_file_find(source, name) >= 0)
            return mr_fail(MR_EFILE,
                           "it is an RWKV-6 of flash-linear-attention (%s), of which only RWKV-7 is supported: "
                           "use the model's official .pth or its RWKV/v6 folder",
                           name);
    }
    return 0;
}

int mr_fla_shape(const struct mr_param *p, int64_t *shape, int ndim)
{
    int n = 0;
    if (strstr(p->name, ".att.x_") || ndim < 3)
        return ndim;
    for (int i = 0; i < ndim; i++)
        if (shape[i] != 1 || i == ndim - 1)
            shape[n++] = shape[i];
    return n;
}

json_t *mr_fla_config(const struct mr_config *c)
{
    int ffn = mr_ffn_width(c);
    json_t *widths = json_array();
    for (int i = 0; i < c->n_layer; i++)
        json_array_append_new(widths, json_integer(c->n_embd));
    return json_pack("{ss s[s] si so si si si si si si si si ss sb sb sf ss so si sb si si sb sb}", "model_type",
                     "rwkv7", "architectures", "RWKV7ForCausalLM", "hidden_size", c->n_embd, "hidden_ratio",
                     ffn % c->n_embd ? json_null() : json_integer(ffn / c->n_embd), "intermediate_size", ffn,
                     "num_hidden_layers", c->n_layer, "head_dim", c->head_size, "num_heads", mr_head_count(c),
                     "decay_low_rank_dim", mr_lora_width(c, 0), "a_low_rank_dim", mr_lora_width(c, 1), "v_low_rank_dim",
                     mr_lora_width(c, 2), "gate_low_rank_dim", mr_lora_width(c, 3), "hidden_act", "sqrelu",
                     "norm_first", 1, "norm_bias", 1, "norm_eps", 1e-5, "attn_mode", "chunk", "value_dim", widths,
                     "vocab_size", c->vocab_size, "tie_word_embeddings", 0, "bos_token_id", 0, "eos_token_id", 0,
                     "fuse_norm", 0, "use_cache", 1);
}

void mr_fla_apply(struct mr_config *cfg, const json_t *said)
{
    const json_t *eps = json_object_get(said, "norm_eps"), *width = json_object_get(said, "head_dim");
    if (json_is_number(eps) && json_is_integer(width))
        cfg->ln_x_eps = json_number_value(eps) * (double)json_integer_value(width);
}
