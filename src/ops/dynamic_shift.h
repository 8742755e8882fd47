/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-6's token shift: out_k = x + (prev - x) * (maa_k + m_k) for its five mixtures, whose m depends on the data; prev
 * is the row of the position before. The state is token_shift's. */
#ifndef MR_OPS_DYNAMIC_SHIFT_H
#define MR_OPS_DYNAMIC_SHIFT_H

#include "rt/rt.h"

enum { MR_DYNAMIC_MIXTURES = 5 };

/* x [B,T,C], previous [B,C] (the row before t = 0; NULL: zeros), maa[k] [C]; mixed [5,B*T,C] holds m and then the
 * mixtures. */
int mr_dynamic_shift_forward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *previous,
                             const mr_tensor *const maa[MR_DYNAMIC_MIXTURES], const mr_tensor *mixed, int batch,
                             int time, int dim);

/* The gradients for previous = NULL. dmixed [5,B*T,C] is that of the mixtures, and then that of m; dx [B,T,C] is
 * written; dmaa[k] [C] is added to unless NULL. */
struct mr_dynamic_shift_gradients {
    const mr_tensor *dmixed, *dx, *dmaa[MR_DYNAMIC_MIXTURES];
};

/* m [5,B*T,C] as forward got it. scratch holds mr_dynamic_shift_backward_scratch floats. */
int mr_dynamic_shift_backward(mr_runtime *rt, const mr_tensor *x, const mr_tensor *const maa[MR_DYNAMIC_MIXTURES],
                              const mr_tensor *m, const struct mr_dynamic_shift_gradients *g, const mr_tensor *scratch,
                              int batch, int time, int dim);
size_t mr_dynamic_shift_backward_scratch(const mr_runtime *rt, int batch, int time, int dim);

/* The step of `rows` texts' next tokens: mixes [3,R,C] is what mr_norm_shift_step leaves for one mixture and the rest,
 * low [R,5*E] the narrow side of the pairs and w2 [5,E,C] their wide one, m_k = low_k w2_k; mixed [5,R,C] is written.
 */
int mr_dynamic_shift_step(mr_runtime *rt, const mr_tensor *mixes, const mr_tensor *low, const mr_tensor *w2,
                          const mr_tensor *const maa[MR_DYNAMIC_MIXTURES], const mr_tensor *mixed, int rows, int width,
                          int dim);

#endif
