/* SPDX-License-Identifier: GPL-3.0-or-later
 * The known-answer tests, one per family: forward, backward, and forms of both, at sizes that fit no vector. */
#ifndef MR_VERIFY_CASES_H
#define MR_VERIFY_CASES_H

#include "verify/trial.h"

/* rows.c: what works on rows or elements */
void mr_case_elementwise(struct mr_trial *t);
void mr_case_embedding(struct mr_trial *t);
void mr_case_rms_norm(struct mr_trial *t);
void mr_case_layer_norm(struct mr_trial *t);
void mr_case_group_norm(struct mr_trial *t);
void mr_case_token_shift(struct mr_trial *t);
void mr_case_channel_mix(struct mr_trial *t);
void mr_case_gelu(struct mr_trial *t);
void mr_case_silu_gate(struct mr_trial *t);
void mr_case_dropout(struct mr_trial *t);
void mr_case_cross_entropy(struct mr_trial *t);
void mr_case_adamw(struct mr_trial *t);

/* products.c */
void mr_case_products(struct mr_trial *t);
void mr_case_gemm(struct mr_trial *t);
void mr_case_matvec(struct mr_trial *t);
void mr_case_linear(struct mr_trial *t);
void mr_case_embedding_weights(struct mr_trial *t);

/* attention.c */
void mr_case_window_attention(struct mr_trial *t);
void mr_case_reference_attention(struct mr_trial *t);

/* blocks.c: recurrence, experts */
void mr_case_time_mix(struct mr_trial *t);
void mr_case_mixture(struct mr_trial *t);
void mr_case_mixture_topk(struct mr_trial *t);

/* rwkv.c: what only RWKV-4 to 7 have */
void mr_case_dynamic_shift(struct mr_trial *t);
void mr_case_dynamic_shift_step(struct mr_trial *t);
void mr_case_wkv4(struct mr_trial *t);
void mr_case_wkv6(struct mr_trial *t);
void mr_case_wkv7(struct mr_trial *t);
void mr_case_dynamic_shift_backward(struct mr_trial *t);
void mr_case_wkv4_backward(struct mr_trial *t);
void mr_case_wkv6_backward(struct mr_trial *t);
void mr_case_wkv7_around(struct mr_trial *t);
void mr_case_wkv7_backward(struct mr_trial *t);

/* steps.c: the fused kernels of a decoding step */
void mr_case_norm_shift(struct mr_trial *t);
void mr_case_wkv4_step(struct mr_trial *t);
void mr_case_wkv6_step(struct mr_trial *t);
void mr_case_wkv7_step(struct mr_trial *t);
void mr_case_attention_step(struct mr_trial *t);
void mr_case_mixture_step(struct mr_trial *t);
void mr_case_place(struct mr_trial *t);
void mr_case_rotary(struct mr_trial *t);
void mr_case_top(struct mr_trial *t);

/* limits.c */
void mr_case_limits(struct mr_trial *t);

#endif
