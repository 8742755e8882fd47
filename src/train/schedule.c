/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/schedule.h"

#include <math.h>

double mr_learning_rate(const struct mr_train_config *cfg, int64_t iter)
{
    if (!cfg->decay_lr)
        return cfg->learning_rate;
    if (iter < cfg->warmup_iters)
        return cfg->learning_rate * (double)(iter + 1) / (cfg->warmup_iters + 1);
    if (iter > cfg->lr_decay_iters)
        return cfg->min_lr;
    double span = cfg->lr_decay_iters - cfg->warmup_iters;
    double share = span > 0 ? (double)(iter - cfg->warmup_iters) / span : 1;
    return cfg->min_lr + 0.5 * (1 + cos(3.141592653589793 * share)) * (cfg->learning_rate - cfg->min_lr);
}
