/* SPDX-License-Identifier: GPL-3.0-or-later
 * A family is a table of residual branches x += layer(…layer(x)), and a layer a table of functions. */
#ifndef MR_MODEL_LAYER_H
#define MR_MODEL_LAYER_H

#include "model/params.h"

struct mr_pass;
struct mr_node;

/* What a layer may ask for while the memory of a pass is planned. B = batch, T = time: the most that one call
 * may hold. */
struct mr_planner {
    mr_plan *plan;
    const struct mr_params *params;
    const struct mr_config *cfg;
    const mr_runtime *rt; /* NULL: a plan without a device */
    struct mr_pass *pass;
    int batch, time;
    bool training;   /* a backward will follow */
    bool with_state; /* positions may come in several calls */
};

struct mr_layer {
    const char *name;
    size_t own; /* bytes of the node's own struct, zeroed */
    /* Declares its parameters under `prefix` ("transformer.h.3.tmix."). NULL: it has none. */
    int (*declare)(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block);
    /* Finds its parameters, asks for memory. */
    int (*plan)(struct mr_node *node, struct mr_planner *planner);
    /* y = layer(x); x, y [B*T, C], rows of batch item b at b*T. Reads and advances the state if the pass has
     * one; T = 1 with state is the decoding step and takes the tuned kernels. May add to the pass's loss. */
    int (*forward)(struct mr_node *node, struct mr_pass *pass, const mr_tensor *x, const mr_tensor *y);
    /* dx = d loss / dx (written) from dy, after forward with the same x; parameter gradients are added. */
    int (*backward)(struct mr_node *node, struct mr_pass *pass, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx);
};

/* One use of a layer in one pass: two uses of one name share parameters and have their own state. */
struct mr_node {
    const struct mr_layer *layer;
    char prefix[MR_NAME];
    int block;
    uint32_t site; /* first of its four dropout sites */
    void *own;
};

#define MR_LINKS 4

/* x += last(…first(x)); an empty layer ends the chain. */
struct mr_branch {
    struct {
        const struct mr_layer *layer;
        const char *name; /* "tmix": parameters are transformer.h.N.tmix.* */
    } chain[MR_LINKS];
};

struct mr_family {
    /* The branches of a block; ends with an empty one. */
    const struct mr_branch *(*block)(const struct mr_config *cfg);
    const char *block_prefix;                 /* printf format of the block's number */
    const char *embedding, *positions, *head; /* positions NULL: none; head NULL: tied to the embedding */
    const char *final_norm;                   /* prefix of ln_f */
    const char *first_norm;                   /* prefix of a layer norm right after the embedding, or NULL */
};

const struct mr_family *mr_family(const struct mr_config *cfg);

/* The layers. */
extern const struct mr_layer mr_layer_rms_norm, mr_layer_time_mix_x051a, mr_layer_channel_mix,
    mr_layer_window_attention, mr_layer_grouped_attention, mr_layer_reference_sliding, mr_layer_reference_grouped,
    mr_layer_mixture, mr_layer_mixture_topk, mr_layer_layer_norm, mr_layer_gpt2_attention, mr_layer_gpt2_mlp,
    mr_layer_rwkv4_time_mix, mr_layer_rwkv5_time_mix, mr_layer_rwkv6_time_mix, mr_layer_rwkv7_time_mix,
    mr_layer_rwkv_channel_mix;

/* ---- helpers for layers -------------------------------------------------------------------------------- */

/* Kept from forward to backward when training, else scratch of this layer. */
int mr_keep(struct mr_planner *planner, mr_tensor *where, size_t count);
int mr_scratch(struct mr_planner *planner, mr_tensor *where, size_t count);
/* Only when the pass has a state: carried from call to call, zero at first. */
int mr_state(struct mr_planner *planner, mr_tensor *where, size_t count);

/* A tensor by which layers of one pass hand something on: the first to ask has it made, all get the same. The name
 * is kept, not copied; *where stays valid as long as the pass. */
int mr_shared(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count);

/* Declares a norm's weight (starting at 1) and, if wanted, its bias. */
int mr_norm_declare(struct mr_params *params, const char *prefix, int dim, bool bias);

/* A linear layer's parameters; bias NULL: none. */
struct mr_linear {
    struct mr_param *weight, *bias;
    int in, out;
};

/* Declares prefix + name + ".weight" (out,in), normal(0, std), and ".bias", zero. */
int mr_linear_declare(struct mr_params *params, const char *prefix, const char *name, int out, int in, bool bias,
                      double std);
int mr_linear_find(struct mr_linear *linear, const struct mr_params *params, const char *prefix, const char *name);
int mr_linear_apply(struct mr_pass *pass, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *y);
/* dx (NULL: not wanted) is written, or added to; the parameters' gradients are added to. */
int mr_linear_reverse(struct mr_pass *pass, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *dy,
                      const mr_tensor *dx, bool accumulate);

#endif
