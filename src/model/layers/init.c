/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/layers/init.h"

#include <math.h>

int mr_declare_init(struct mr_params *params, const char *prefix, const char *name, const size_t *shape, int block,
                    mr_init_values *init)
{
    struct mr_param *p = mr_declare(params, prefix, name, shape);
    if (!p)
        return params->error;
    p->init = init;
    p->block = block;
    return 0;
}

int mr_declare_orthogonal(struct mr_params *params, const char *prefix, const char *name, int out, int in, double gain)
{
    struct mr_linear linear;
    MR_TRY(mr_linear_declare(params, prefix, name, out, in, false, 0));
    MR_TRY(mr_linear_find(&linear, params, prefix, name));
    linear.weight->gain = gain;
    return 0;
}

double mr_init_left(const struct mr_config *cfg, int block)
{
    return 1 - (double)block / cfg->n_layer;
}

double mr_init_done(const struct mr_config *cfg, int block)
{
    return cfg->n_layer > 1 ? (double)block / (cfg->n_layer - 1) : 0;
}

/* ---- mixing ----------------------------------------------------------------------------------------------- */

static void shares(float *out, size_t count, double exponent, double add, bool present)
{
    for (size_t c = 0; c < count; c++) {
        double share = pow((double)c / (double)count, exponent) + add;
        out[c] = (float)(present ? share : 1 - share);
    }
}

void mr_init_before(float *out, size_t count, double exponent)
{
    shares(out, count, exponent, 0, false);
}

void mr_init_present_key(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block), 0, true);
}

void mr_init_present_value(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block), 0.3 * mr_init_done(cfg, block), true);
}

void mr_init_present_gate(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block) / 2, 0, true);
}

void mr_init_before_key(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block), 0, false);
}

void mr_init_before_value(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block), 0.3 * mr_init_done(cfg, block), false);
}

void mr_init_before_gate(const struct mr_config *cfg, int block, float *out, size_t count)
{
    shares(out, count, mr_init_left(cfg, block) / 2, 0, false);
}

/* ---- the recurrence --------------------------------------------------------------------------------------- */

static double share(size_t i, size_t count)
{
    return count > 1 ? (double)i / (double)(count - 1) : 0;
}

void mr_init_decay(const struct mr_config *cfg, int block, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(-6 + 5 * pow(share(i, count), 0.7 + 1.3 * mr_init_done(cfg, block)));
}

void mr_init_bonus(const struct mr_config *cfg, int block, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)(mr_init_done(cfg, block) * (1 - share(i, count)));
}
