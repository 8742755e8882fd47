/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "verify/verify.h"

#include "base/str.h"
#include "rt/kernels.h"
#include "verify/cases.h"

/* Sums of a thousand products in single precision stay within the first; a wrong index, a lost row or a driver's
 * fast approximation of exp does not. */
static const struct {
    const char *family;
    void (*run)(struct mr_trial *t);
    double allowed;
} cases[] = {
    {"elementwise", mr_case_elementwise, 1e-6},
    {"embedding", mr_case_embedding, 1e-5},
    {"embedding_weights", mr_case_embedding_weights, 1e-6},
    {"rms_norm", mr_case_rms_norm, 1e-5},
    {"layer_norm", mr_case_layer_norm, 1e-5},
    {"group_norm", mr_case_group_norm, 1e-5},
    {"token_shift", mr_case_token_shift, 1e-5},
    {"channel_mix", mr_case_channel_mix, 1e-5},
    {"gelu", mr_case_gelu, 1e-5},
    {"silu_gate", mr_case_silu_gate, 1e-5},
    {"products", mr_case_products, 1e-5},
    {"matvec", mr_case_matvec, 1e-5},
    {"gemm", mr_case_gemm, 1e-5},
    {"linear", mr_case_linear, 1e-5},
    {"time_mix", mr_case_time_mix, 5e-5},
    {"window_attention", mr_case_window_attention, 1e-5},
    {"reference_attention", mr_case_reference_attention, 5e-5},
    {"mixture", mr_case_mixture, 1e-5},
    {"mixture_topk", mr_case_mixture_topk, 1e-5},
    {"dropout", mr_case_dropout, 1e-6},
    {"cross_entropy", mr_case_cross_entropy, 1e-5},
    {"adamw", mr_case_adamw, 1e-5},
    {"dynamic_shift", mr_case_dynamic_shift, 1e-5},
    {"dynamic_shift_backward", mr_case_dynamic_shift_backward, 1e-5},
    {"dynamic_shift_step", mr_case_dynamic_shift_step, 1e-5},
    {"wkv4", mr_case_wkv4, 1e-5},
    {"wkv4_backward", mr_case_wkv4_backward, 1e-5},
    {"wkv4_step", mr_case_wkv4_step, 1e-5},
    {"wkv6", mr_case_wkv6, 1e-5},
    {"wkv6_backward", mr_case_wkv6_backward, 1e-5},
    {"wkv7", mr_case_wkv7, 1e-5},
    {"wkv7_around", mr_case_wkv7_around, 1e-5},
    {"wkv7_backward", mr_case_wkv7_backward, 1e-5},
    {"norm_shift", mr_case_norm_shift, 1e-5},
    {"wkv6_step", mr_case_wkv6_step, 2e-5},
    {"wkv7_step", mr_case_wkv7_step, 2e-5},
    {"attention_step", mr_case_attention_step, 1e-5},
    {"mixture_step", mr_case_mixture_step, 1e-5},
    {"place", mr_case_place, 1e-6},
    {"rotary", mr_case_rotary, 1e-5},
    {"top", mr_case_top, 0},
    {"limits", mr_case_limits, 1e-4},
};
enum { FAMILIES = sizeof cases / sizeof cases[0] };

bool mr_verdict_good(const struct mr_verdict *verdict)
{
    return verdict->result >= 0 && verdict->error <= verdict->allowed;
}

/* Kernels without a case: a hole in these tests, not a fault of the device. */
static int need_all_launched(const mr_runtime *rt)
{
    struct mr_str names = {0};
    int err = 0;
    for (int i = 0; i < mr_kernels.kernel_count && !err; i++)
        if (!mr_was_launched(rt, mr_kernels.kernels[i].name))
            err = mr_str_printf(&names, "%s%s", names.size ? ", " : "", mr_kernels.kernels[i].name);
    if (!err && names.size)
        err = mr_fail(MR_EINVAL, "kernels that no known-answer test launches: %s", names.text);
    mr_str_free(&names);
    return err;
}

int mr_verify(mr_runtime *rt, void (*report)(void *context, const struct mr_verdict *verdict), void *context)
{
    int bad = 0;
    for (int i = 0; i < FAMILIES; i++) {
        struct mr_trial t;
        MR_TRY(mr_trial_begin(&t, rt));
        cases[i].run(&t);
        const struct mr_verdict verdict = {cases[i].family, t.result, t.error, cases[i].allowed};
        bad += !mr_verdict_good(&verdict);
        report(context, &verdict);
        mr_trial_end(&t);
    }
    if (bad)
        return mr_fail(MR_EDEVICE, "%d of %d kernel families give wrong results on '%s': is its driver up to date?",
                       bad, FAMILIES, mr_runtime_info(rt)->name);
    return need_all_launched(rt);
}

const char *mr_verify_kernel(const mr_runtime *rt, int i, bool *launched)
{
    if (i < 0 || i >= mr_kernels.kernel_count)
        return NULL;
    *launched = mr_was_launched(rt, mr_kernels.kernels[i].name);
    return mr_kernels.kernels[i].name;
}
