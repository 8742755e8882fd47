/* SPDX-License-Identifier: GPL-3.0-or-later
 * The double-precision counterpart of ops/embedding.h. */
#ifndef MR_REF_EMBEDDING_H
#define MR_REF_EMBEDDING_H

#include <stdint.h>

void mr_ref_embedding_forward(const int32_t *tokens, const double *wte, const double *wpe, double *y, int B, int T,
                              int C, int V, int pos);
/* dwte += and, unless NULL, dwpe += (positions from 0) */
void mr_ref_embedding_backward(const int32_t *tokens, const double *dy, double *dwte, double *dwpe, int B, int T, int C,
                               int V);

#endif
