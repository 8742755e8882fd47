/* SPDX-License-Identifier: GPL-3.0-or-later
 * Initial values of the vectors of a new RWKV, by the block's depth: left = 1 - i/L, done = i/(L-1) (0 where L is 1).
 */
#ifndef MR_MODEL_LAYERS_INIT_H
#define MR_MODEL_LAYERS_INIT_H

#include "model/layer.h"

typedef void mr_init_values(const struct mr_config *cfg, int block, float *out, size_t count);

/* Declares a parameter that init() fills. */
int mr_declare_init(struct mr_params *params, const char *prefix, const char *name, const size_t *shape, int block,
                    mr_init_values *init);

/* A linear layer without bias whose weight starts orthogonal, its rows or columns `gain` long; gain 0: 0. */
int mr_declare_orthogonal(struct mr_params *params, const char *prefix, const char *name, int out, int in, double gain);

/* left and done of a block */
double mr_init_left(const struct mr_config *cfg, int block);
double mr_init_done(const struct mr_config *cfg, int block);
/* 1 - (c/C)^exponent for each channel c of C = count */
void mr_init_before(float *out, size_t count, double exponent);

/* The share of the present row in what a linear map gets: (c/C)^left for keys, the same + 0.3 done for values,
 * (c/C)^(left/2) for receptances and gates. */
mr_init_values mr_init_present_key, mr_init_present_value, mr_init_present_gate;
/* The share of the row before: 1 less that. */
mr_init_values mr_init_before_key, mr_init_before_value, mr_init_before_gate;

/* -6 + 5 (i/(n-1))^(0.7 + 1.3 done), and done (1 - i/(n-1)), over n numbers; i/(n-1) is 0 where n is 1. */
mr_init_values mr_init_decay, mr_init_bonus;

#endif
