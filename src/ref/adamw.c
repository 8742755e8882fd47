/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/adamw.h"

#include <math.h>

void mr_ref_adamw(double lr, double beta1, double beta2, double eps, double weight_decay, int64_t step, double *p,
                  const double *g, double *m, double *v, size_t count, double clip)
{
    for (size_t i = 0; i < count; i++) {
        double gradient = g[i] * clip;
        m[i] = beta1 * m[i] + (1 - beta1) * gradient;
        v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
        double mean = m[i] / (1 - pow(beta1, (double)step)), square = v[i] / (1 - pow(beta2, (double)step));
        p[i] -= lr * weight_decay * p[i];
        p[i] -= lr * mean / (sqrt(square) + eps);
    }
}

double mr_ref_norm(const double *g, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += g[i] * g[i];
    return sqrt(sum);
}

double mr_ref_clip_factor(double norm, double max_norm)
{
    return max_norm > 0 ? fmin(1, max_norm / (norm + 1e-6)) : 1;
}
