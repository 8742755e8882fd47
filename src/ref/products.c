/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/products.h"

#include <math.h>
#include <stddef.h>

static double activate(double x, int act)
{
    switch (act) {
    case 1:
        return 1 / (1 + exp(-x));
    case 2:
        return x / (1 + exp(-x));
    case 3:
        return tanh(x);
    case 4:
        return x > 0 ? x * x : 0;
    case 5:
        return x * 0.5 * (1 + erf(x * M_SQRT1_2));
    case 6:
        return x * 0.5 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case 7:
        return x > 0 ? x : 0;
    case 8:
        return x / (1 + exp(-1.702 * x));
    default:
        return x;
    }
}

void mr_ref_product(const struct mr_ref_product *p)
{
    size_t n = (size_t)p->n, k = (size_t)p->k;
    for (size_t r = 0; r < (size_t)p->rows; r++)
        for (size_t j = 0; j < n; j++) {
            double sum = p->bias ? p->bias[j] : 0;
            for (size_t i = 0; i < k; i++)
                sum += p->x[r * k + i] * (p->transposed ? p->w[i * n + j] : p->w[j * k + i]);
            double y = activate(sum, p->act) * (p->gate ? p->gate[r * n + j] : 1);
            p->y[r * n + j] = y + (p->add ? p->add[r * n + j] : 0);
        }
}
