/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/transformer_config.h"

#include <math.h>

#include "base/json.h"
#include "model/layer.h"

static const char *const acts[] = {
    [MR_GELU_ERF] = "gelu", [MR_GELU_TANH] = "gelu_new", [MR_GELU_RELU] = "relu", [MR_GELU_QUICK] = "quick_gelu"};

static json_t *gpt2_config(const struct mr_config *c)
{
    json_t *config = json_pack(
        "{ss s[s] ss si si si si si si sf sf sf sf sf sb sb si si}", "model_type", "gpt2", "architectures",
        "GPT2LMHeadModel", "activation_function", acts[c->gelu], "n_layer", c->n_layer, "n_head", c->n_head, "n_embd",
        c->n_embd, "n_positions", c->block_size, "n_ctx", c->block_size, "vocab_size", c->vocab_size,
        "layer_norm_epsilon", c->ln_eps, "initializer_range", 0.02, "resid_pdrop", c->dropout, "embd_pdrop", c->dropout,
        "attn_pdrop", c->dropout, "scale_attn_weights", c->attention_scale != MR_SCALE_NONE, "tie_word_embeddings",
        c->tied, "bos_token_id", c->vocab_size - 1, "eos_token_id", c->vocab_size - 1);
    if (config && c->attention_scale == MR_SCALE_LAYER)
        mr_json_put(&config, "scale_attn_by_inverse_layer_idx", json_true());
    if (config && mr_ffn_width(c) != 4 * c->n_embd)
        mr_json_put(&config, "n_inner", json_integer(mr_ffn_width(c)));
    return config;
}

static json_t *opt_config(const struct mr_config *c)
{
    return json_pack("{ss s[s] ss si si si si si si si sb sb sb sb sf sf sb si si si}", "model_type", "opt",
                     "architectures", "OPTForCausalLM", "activation_function", acts[c->gelu], "num_hidden_layers",
                     c->n_layer, "num_attention_heads", c->n_head, "hidden_size", c->n_embd, "word_embed_proj_dim",
                     c->n_embd, "ffn_dim", mr_ffn_width(c), "max_position_embeddings", c->block_size, "vocab_size",
                     c->vocab_size, "do_layer_norm_before", 1, "enable_bias", 1, "layer_norm_elementwise_affine", 1,
                     "_remove_final_layer_norm", 0, "dropout", c->dropout, "init_std", 0.02, "tie_word_embeddings",
                     c->tied, "bos_token_id", 2, "eos_token_id", 2, "pad_token_id", 1);
}

static json_t *neo_config(const struct mr_config *c)
{
    json_t *layers = json_array();
    for (int i = 0; layers && i < c->n_layer; i++)
        json_array_append_new(layers, json_string(i % 2 ? "local" : "global"));
    json_t *types = json_pack("[[[ss]i]]", "global", "local", (c->n_layer + 1) / 2);
    if (c->n_layer % 2) /* so that the lists have as many as there are blocks */
        json_decref(types), types = json_pack("[[[ss]i][[s]i]]", "global", "local", c->n_layer / 2, "global", 1);
    return json_pack("{ss s[s] ss si si si si si si si sf sf sf sf sb so so si si}", "model_type", "gpt_neo",
                     "architectures", "GPTNeoForCausalLM", "activation_function", acts[c->gelu], "num_layers",
                     c->n_layer, "num_heads", c->n_head, "hidden_size", c->n_embd, "intermediate_size", mr_ffn_width(c),
                     "max_position_embeddings", c->block_size, "vocab_size", c->vocab_size, "window_size", c->window,
                     "layer_norm_epsilon", c->ln_eps, "resid_dropout", c->dropout, "embed_dropout", c->dropout,
                     "attention_dropout", c->dropout, "tie_word_embeddings", c->tied, "attention_types", types,
                     "attention_layers", layers, "bos_token_id", c->vocab_size - 1, "eos_token_id", c->vocab_size - 1);
}

static json_t *neox_config(const struct mr_config *c)
{
    return json_pack(
        "{ss s[s] ss si si si si si si sf sf sf sb sb sb sf sf si si}", "model_type", "gpt_neox", "architectures",
        "GPTNeoXForCausalLM", "hidden_act", acts[c->gelu], "num_hidden_layers", c->n_layer, "num_attention_heads",
        c->n_head, "hidden_size", c->n_embd, "intermediate_size", mr_ffn_width(c), "max_position_embeddings",
        c->block_size, "vocab_size", c->vocab_size, "rotary_pct", c->rotary_pct, "rotary_emb_base", c->rotary_base,
        "layer_norm_eps", c->ln_eps, "use_parallel_residual", c->parallel, "attention_bias", 1, "tie_word_embeddings",
        c->tied, "hidden_dropout", c->dropout, "attention_dropout", c->dropout, "bos_token_id", 0, "eos_token_id", 0);
}

json_t *mr_transformer_config(const struct mr_config *cfg)
{
    switch (cfg->family) {
    case MR_OPT:
        return opt_config(cfg);
    case MR_GPTNEO:
        return neo_config(cfg);
    case MR_GPTNEOX:
        return neox_config(cfg);
    default:
        return gpt2_config(cfg);
    }
}

int mr_gpt2_is_usual(const struct mr_config *cfg, bool gguf)
{
    const char *what = cfg->gelu == MR_GELU_RELU || cfg->gelu == MR_GELU_QUICK ? "its activation"
                       : cfg->attention_scale != MR_SCALE_ROOT                 ? "how its scores are scaled"
                       : !gguf && !cfg->tied                                   ? "its head of its own"
                       : !gguf && mr_ffn_width(cfg) != 4 * cfg->n_embd         ? "the inner width of its MLP"
                       : !gguf && fabs(cfg->ln_eps - 1e-5) > 1e-7              ? "the epsilon of its norms"
                                                                               : NULL;
    return what ? mr_fail(MR_EINVAL, "%s cannot be told %s: a Hugging Face folder, .mrw and .safetensors hold it",
                          gguf ? "llama.cpp" : "nanoGPT", what)
                : 0;
}
