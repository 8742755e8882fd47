/* SPDX-License-Identifier: GPL-3.0-or-later
 * A family is a table of residual branches x += layer(…layer(x)), and a layer a table of functions. */
#ifndef MR_MODEL_LAYER_H
#define MR_MODEL_LAYER_H

#include "model/params.h"
#include "ops/norm_shift.h"
#include "ops/products.h"

typedef struct mr_workspace mr_workspace;
struct mr_node;

/* A norm that the next layer applies to its input. */
struct mr_norm {
    enum mr_norm_kind kind;
    const mr_tensor *weight, *bias; /* [C] or NULL */
    float eps;
};

/* What a layer may ask for while the memory of a workspace is planned. */
struct mr_planner {
    mr_plan *plan;
    const struct mr_params *params;
    const struct mr_config *cfg;
    const mr_runtime *rt; /* NULL: a plan without a device */
    mr_workspace *ws;
    int batch, time;     /* B, T: the largest batch without slots, the longest piece */
    size_t rows;         /* R, the most rows of one group: B*T, or more for steps */
    size_t steps;        /* S, the most rows of a step */
    bool training;       /* a backward will follow */
    enum mr_memory kept; /* where what a layer keeps from forward to backward lies, or its scratch */
};

#define MR_LAYER_STATES 3

struct mr_layer {
    const char *name;
    size_t own; /* bytes of the node's own struct, zeroed */
    /* Declares its parameters under `prefix` ("transformer.h.3.tmix."). NULL: it has none. */
    int (*declare)(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block);
    /* Sizes, in floats of a slot, of its state tensors; returns their number, or -1 where no state can stand for what
     * was read: the layer needs the whole text at once. NULL: it has none. */
    int (*states)(const struct mr_config *cfg, int block, size_t sizes[MR_LAYER_STATES]);
    /* Finds its parameters, asks for memory. */
    int (*plan)(struct mr_node *node, struct mr_planner *planner);
    /* y = layer(x); x, y [B*T, C], rows of batch item b at b*T. Reads and advances the state where the group has one
     * (then B is 1). May add to the loss. */
    int (*forward)(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *y);
    /* The same for one token each of R texts with slots, in few launches: y = add + layer(norm(x)); x, y [R,C], y may
     * be add. norm and add may be NULL. A row's numbers do not depend on the other rows. */
    int (*step)(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                const mr_tensor *add, const mr_tensor *y);
    /* Whether step serves this configuration; NULL: every one. */
    bool (*steps)(const struct mr_config *cfg);
    /* A norm says what it is, and leaves its step to the layer behind it. */
    void (*norm)(const struct mr_node *node, struct mr_norm *norm);
    /* dx = d loss / dx (written) from dy, after forward with the same x; parameter gradients are added. */
    int (*backward)(struct mr_node *node, mr_workspace *ws, const mr_tensor *x, const mr_tensor *dy,
                    const mr_tensor *dx);
};

/* One use of a layer: two uses of one name share parameters and have their own state. */
struct mr_node {
    const struct mr_layer *layer;
    char prefix[MR_NAME];
    int block;
    uint32_t site; /* first of its four dropout sites */
    int state;     /* index of its first state tensor in mr_states */
    void *own;
};

/* The nodes of a model in the order in which they run; own is NULL. */
int mr_nodes_build(struct mr_node **nodes, int *count, const struct mr_config *cfg);
void mr_nodes_free(struct mr_node *nodes, int count);

#define MR_LINKS 4

/* x += last(…first(x)); an empty layer ends the chain. */
struct mr_branch {
    struct {
        const struct mr_layer *layer;
        const char *name; /* "tmix": parameters are transformer.h.N.tmix.* */
    } chain[MR_LINKS];
    bool beside; /* reads what the branch before it read, which is not beside another one: both add to that */
};

/* Groups of configuration keys that not every family has. */
enum mr_keys {
    MR_KEYS_NANO = 1, /* n_head, bias */
    MR_KEYS_MICRO = 2,
    MR_KEYS_GELU = 4, /* gelu, ln_eps, tied */
    MR_KEYS_FFN = 8,
    MR_KEYS_HEAD_SIZE = 16, /* head_size, ln_x_eps */
    MR_KEYS_RWKV5 = 32,
    MR_KEYS_RWKV6 = 64,
    MR_KEYS_RWKV7 = 128,
    MR_KEYS_DROPOUT = 256,
    MR_KEYS_GPT2 = 512,
    MR_KEYS_WINDOW = 1024,
    MR_KEYS_ROTARY = 2048, /* rotary_pct, rotary_base, parallel */
};

/* Defaults of training that a family has for itself; 0: nanoGPT's. */
struct mr_training_defaults {
    double beta2, eps, l2wrap;
};

/* Names of the products of a block of a transformer. */
struct mr_parts {
    const char *in[3], *out;   /* of attention: q, k and v from one product, or from three */
    const char *wide, *narrow; /* of the MLP */
    bool bare;                 /* the three of attention have no bias */
};

struct mr_family {
    const char *name;
    /* The branches of a block, the last one empty; or what chooses them. */
    const struct mr_branch *branches;
    const struct mr_branch *(*choose)(const struct mr_config *cfg);
    const char *block_prefix;                 /* printf format of the block's number */
    const char *embedding, *positions, *head; /* positions NULL: none; head NULL or cfg->tied: the embedding */
    int first_place;                          /* the row of `positions` that position 0 has */
    struct mr_parts parts;
    const char *final_norm;               /* prefix of ln_f */
    const char *first_norm;               /* prefix of a layer norm right after the embedding, or NULL */
    bool norm_bias;                       /* layer norms have a bias whatever the configuration says */
    bool heads_by_size;                   /* heads follow from head_size */
    bool whole_block;                     /* attention sees all of the block: its window is block_size */
    bool rotary;                          /* q and k turn by their positions; q, k, v come head by head */
    int rwkv;                             /* the version of RWKV, 4 to 7; 0: none */
    unsigned keys;                        /* enum mr_keys, or-ed */
    double embedding_range;               /* the embedding starts uniform in ± that; 0: normal(0, 0.02) */
    double head_gain;                     /* a head of its own starts orthogonal, that long times the root of V/C
                                             where V is larger; 0: normal(0, 0.02) */
    struct mr_training_defaults training; /* how its published trainer trains it */
    /* What differs from the common defaults, and what must hold beyond the common checks; NULL: nothing. */
    void (*defaults)(struct mr_config *cfg);
    int (*check)(const struct mr_config *cfg);
    int (*window)(const struct mr_config *cfg, int block); /* of block `block`'s attention; NULL: block_size */
    int (*ffn_width)(const struct mr_config *cfg);         /* NULL: 4C */
    int (*lora_width)(const struct mr_config *cfg, int i); /* NULL: none */
};

/* The family of a configuration; one without a name or layers where it is not known (MR_FAMILIES). */
const struct mr_family *mr_family(const struct mr_config *cfg);
/* Whether it is GPT-2, whose files and libraries the formats know by themselves. */
static inline bool mr_is_gpt2(const struct mr_config *cfg)
{
    return mr_family(cfg)->keys & MR_KEYS_GPT2;
}

/* The parameter of a head of its own; NULL: the embedding is the head. */
static inline const char *mr_head_name(const struct mr_config *cfg)
{
    return cfg->tied ? NULL : mr_family(cfg)->head;
}

const struct mr_branch *mr_family_branches(const struct mr_config *cfg);

/* The layers. */
extern const struct mr_layer mr_layer_rms_norm, mr_layer_time_mix_x051a, mr_layer_channel_mix,
    mr_layer_window_attention, mr_layer_grouped_attention, mr_layer_reference_sliding, mr_layer_reference_grouped,
    mr_layer_mixture, mr_layer_mixture_topk, mr_layer_layer_norm, mr_layer_block_attention, mr_layer_mlp,
    mr_layer_rwkv4_time_mix, mr_layer_rwkv5_time_mix, mr_layer_rwkv6_time_mix, mr_layer_rwkv7_time_mix,
    mr_layer_rwkv_channel_mix;

/* ---- helpers for layers -------------------------------------------------------------------------------- */

/* Kept from forward to backward when training, else scratch of this layer. */
int mr_keep(struct mr_planner *planner, mr_tensor *where, size_t count);
int mr_scratch(struct mr_planner *planner, mr_tensor *where, size_t count);
/* Scratch for the gradient of a frozen parameter, which a kernel writes with those of others. Vectors have it anyway.
 */
int mr_sink(struct mr_planner *planner, const struct mr_param *p);
/* A tensor by which layers hand something on: the first to ask has it made, all get the same. The name is kept, not
 * copied; *where stays valid as long as the workspace. */
int mr_shared(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count);
/* The same for its gradient, under a name of its own: 0 at the begin of each backward, layers add to it. */
int mr_shared_gradient(struct mr_planner *planner, const mr_tensor **where, const char *name, size_t count);

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
/* Says that its layer multiplies by its weight in other ways than below: it takes no adapter. */
void mr_without_adapter(struct mr_params *params, const char *prefix, const char *name);
int mr_linear_find(struct mr_linear *linear, const struct mr_params *params, const char *prefix, const char *name);
int mr_linear_run(mr_workspace *ws, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *y);
/* dx (NULL: not wanted) is written, or added to; the gradients of what is trained are added to. */
int mr_linear_backward(mr_workspace *ws, const struct mr_linear *linear, const mr_tensor *x, const mr_tensor *dy,
                       const mr_tensor *dx, bool accumulate);

/* ---- for steps ---------------------------------------------------------------------------------------------- */

/* The node's i-th state tensor, with the slots of the step's rows. */
struct mr_slots mr_slots_of(const mr_workspace *ws, const struct mr_node *node, int i);
/* y = linear(x), x from element offset on: to be completed and run by mr_products. */
struct mr_product mr_linear_product(const struct mr_linear *linear, const mr_tensor *x, size_t offset,
                                    const mr_tensor *y);
/* count mixtures of norm(x) and the row before, which lies in the node's state 0: ws->mixes [count,R,C], with `rest` of
 * mr_norm_shift_step. keeps: as there. */
int mr_step_shift(struct mr_node *node, mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x,
                  struct mr_param *const *share, int count, bool keeps, bool rest);
/* norm(x) in ws->mixes for layers that do not shift, or x itself where there is none. */
int mr_step_norm(mr_workspace *ws, const struct mr_norm *norm, const mr_tensor *x, const mr_tensor **normed);

#endif
