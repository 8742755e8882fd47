/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parameters of RWKV-7's time mix: names, shapes, initial values. */
#include <math.h>
#include <stdio.h>

#include "model/layers/init.h"
#include "model/layers/rwkv7_time_mix.h"

static const char *const linear_names[R7_LINEARS] = {"receptance", "key", "value"};
static const char *const mix_names[MIXTURES] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
static const char pair_names[PAIRS] = {'w', 'a', 'v', 'g'};

/* ---- initial values, those of RWKV-LM's trainer --------------------------------------------------------------- */

static void mix_narrow(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_before(out, count, 0.2 * mr_init_left(cfg, block));
}

static void mix_middle(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_before(out, count, 0.7 * mr_init_left(cfg, block));
}

static void mix_wide(const struct mr_config *cfg, int block, float *out, size_t count)
{
    mr_init_before(out, count, 0.9 * mr_init_left(cfg, block));
}

/* From 0 to 1 over the channels, and around 0. */
static double along(size_t i, size_t count)
{
    return count > 1 ? (double)i / (double)(count - 1) : 0;
}

static double linear(size_t i, size_t count)
{
    return along(i, count) - 0.5;
}

/* Over each head from -1 to 1, flat in the middle. */
static double zigzag(const struct mr_config *cfg, size_t i)
{
    double half = (cfg->head_size - 1) / 2.0, z = (double)(i % (size_t)cfg->head_size) - half;
    return half > 0 ? z / half * fabs(z / half) : 0;
}

static void init_w0(const struct mr_config *cfg, int block, float *out, size_t count)
{
    double exponent = 1 + pow(mr_init_done(cfg, block), 0.3);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(-5.5 + 6 * pow(along(i, count), exponent) + 2.5 * zigzag(cfg, i));
}

static void init_a0(const struct mr_config *cfg, int block, float *out, size_t count)
{
    (void)block;
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(-0.19 + 0.3 * zigzag(cfg, i) + 0.4 * linear(i, count));
}

static void init_v0(const struct mr_config *cfg, int block, float *out, size_t count)
{
    (void)cfg, (void)block;
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(0.73 - 0.4 * linear(i, count));
}

static void init_k_k(const struct mr_config *cfg, int block, float *out, size_t count)
{
    (void)cfg, (void)block;
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(0.71 - 0.1 * linear(i, count));
}

/* ---- declarations ----------------------------------------------------------------------------------------------- */

static int declare_filled(struct mr_params *params, const char *prefix, const char *name, const size_t *shape,
                          double fill)
{
    struct mr_param *p = mr_declare(params, prefix, name, shape);
    if (!p)
        return params->error;
    p->fill = fill;
    return 0;
}

/* down starts at 0, so that at first the base alone counts. */
static int declare_pair(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int i, int block)
{
    static mr_init_values *const bases[PAIRS] = {init_w0, init_a0, init_v0, NULL};
    size_t C = (size_t)cfg->n_embd, L = (size_t)mr_lora_width(cfg, i);
    char base[] = {pair_names[i], '0', 0}, down[] = {pair_names[i], '1', 0}, up[] = {pair_names[i], '2', 0};
    if (bases[i])
        MR_TRY(mr_declare_init(params, prefix, base, mr_shape(1, 1, C), block, bases[i]));
    MR_TRY(declare_filled(params, prefix, down, mr_shape(C, L), 0));
    struct mr_param *p = mr_declare(params, prefix, up, mr_shape(L, C));
    if (!p)
        return params->error;
    p->gain = 0.1 * sqrt(fmax(1, (double)L / (double)C));
    if (i == PAIR_W)
        mr_param_find(params, prefix, base)->rate = 2;
    return 0;
}

int mr_rwkv7_declare(struct mr_params *params, const struct mr_config *cfg, const char *prefix, int block)
{
    mr_init_values *const inits[MIXTURES] = {mix_narrow, mix_wide, mix_middle, mix_middle, mix_wide, mix_narrow};
    static const double gains[R7_LINEARS] = {1, 0.1, 1};
    int C = cfg->n_embd;
    size_t H = (size_t)mr_head_count(cfg), N = (size_t)cfg->head_size;
    char norm[MR_NAME];
    if (cfg->head_size > MR_WKV7_WIDTH)
        return mr_fail(MR_EINVAL, "head_size %d is more than %d, the largest supported for %s", cfg->head_size,
                       MR_WKV7_WIDTH, mr_family_name(cfg->family));
    for (int i = 0; i < MIXTURES; i++)
        MR_TRY(mr_declare_init(params, prefix, mix_names[i], mr_shape(1, 1, (size_t)C), block, inits[i]));
    for (int i = 0; i < PAIRS; i++)
        MR_TRY(declare_pair(params, cfg, prefix, i, block));
    MR_TRY(mr_declare_init(params, prefix, "k_k", mr_shape(1, 1, (size_t)C), block, init_k_k));
    MR_TRY(declare_filled(params, prefix, "k_a", mr_shape(1, 1, (size_t)C), 1.02));
    MR_TRY(declare_filled(params, prefix, "r_k", mr_shape(H, N), -0.04));
    for (int i = 0; i < R7_LINEARS; i++)
        MR_TRY(mr_declare_orthogonal(params, prefix, linear_names[i], C, C, gains[i]));
    MR_TRY(mr_declare_orthogonal(params, prefix, "output", C, C, 0));
    snprintf(norm, sizeof norm, "%sln_x.", prefix);
    MR_TRY(mr_norm_declare(params, norm, C, true));
    mr_param_find(params, norm, "weight")->fill = pow((1.0 + block) / cfg->n_layer, 0.7);
    return 0;
}

int mr_rwkv7_find(struct mr_rwkv7_time_mix *own, const struct mr_params *params, const char *prefix)
{
    for (int i = 0; i < MIXTURES; i++)
        own->mix[i] = mr_param_find(params, prefix, mix_names[i]);
    for (int i = 0; i < R7_LINEARS; i++)
        MR_TRY(mr_linear_find(&own->linear[i], params, prefix, linear_names[i]));
    own->k_k = mr_param_find(params, prefix, "k_k");
    own->k_a = mr_param_find(params, prefix, "k_a");
    own->r_k = mr_param_find(params, prefix, "r_k");
    own->state = mr_param_find(params, prefix, "initial_state");
    own->ln_weight = mr_param_find(params, prefix, "ln_x.weight");
    own->ln_bias = mr_param_find(params, prefix, "ln_x.bias");
    return mr_linear_find(&own->output, params, prefix, "output");
}
