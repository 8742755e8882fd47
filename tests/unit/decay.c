/* SPDX-License-Identifier: GPL-3.0-or-later
 * Parameters of the families: which of them weight decay falls on. */
#include "config_test.h"

#include "model/model.h"

static void check(const char *name, const char *config, const char *const *decayed, const char *const *plain)
{
    const struct mr_config cfg = test_config(name, config);
    struct mr_params params = {0};
    assert_ok(mr_model_declare(&params, &cfg));
    for (; *decayed; decayed++) {
        const struct mr_param *p = mr_param_find(&params, "", *decayed);
        if (!p || !p->decay)
            fail_msg("%s: %s is not decayed", name, *decayed);
    }
    for (; *plain; plain++) {
        const struct mr_param *p = mr_param_find(&params, "", *plain);
        if (!p || p->decay)
            fail_msg("%s: %s is decayed", name, *plain);
    }
    mr_params_free(&params);
}

static void test_decay_falls_on_matrices_alone(void **state)
{
    (void)state;
    check("rwkv7", "{\"n_layer\": 1, \"n_embd\": 64}",
          (const char *const[]){"emb.weight", "head.weight", "blocks.0.att.key.weight", "blocks.0.ffn.value.weight",
                                NULL},
          (const char *const[]){"blocks.0.att.x_r", "blocks.0.att.w0", "blocks.0.att.w1", "blocks.0.att.k_k",
                                "blocks.0.att.r_k", "blocks.0.ln1.weight", "blocks.0.ffn.x_k", NULL});
    check(
        "rwkv6", "{\"n_layer\": 1, \"n_embd\": 64}",
        (const char *const[]){"blocks.0.att.gate.weight", "blocks.0.ffn.receptance.weight", NULL},
        (const char *const[]){"blocks.0.att.time_maa_w1", "blocks.0.att.time_faaaa", "blocks.0.att.time_decay", NULL});
    check("microrwkv", "{\"n_layer\": 1, \"n_embd\": 64, \"positions\": \"learned\"}",
          (const char *const[]){"transformer.wte.weight", "transformer.wpe.weight", "transformer.h.0.moe.gate.weight",
                                NULL},
          (const char *const[]){"transformer.h.0.tmix.time_maa_k", "transformer.h.0.moe.gate.bias",
                                "transformer.h.0.tmix.ln_x.weight", NULL});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decay_falls_on_matrices_alone),
    };
    return cmocka_run_group_tests_name("decay", tests, NULL, NULL);
}
