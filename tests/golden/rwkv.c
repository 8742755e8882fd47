/* SPDX-License-Identifier: GPL-3.0-or-later
 * RWKV-4 to 7 against golden files: logits of several texts at once, and of one in chunks and single steps; and the
 * models of MICRORWKV_TEST_DATA, where that is set. */
#include "golden.h"

#define TOLERANCE 2e-5
#define GRADIENT 2e-5
#define TOLERANCE_DATA 2e-4 /* expected values of single precision themselves */

#define LOGITS(id)                                         \
    static void test_logits_##id(void **state)             \
    {                                                      \
        (void)state;                                       \
        struct golden g = golden_open(#id ".safetensors"); \
        golden_check_logits(&g, TOLERANCE);                \
        golden_close(&g);                                  \
    }

#define PIECES(id, file, ...)                                                             \
    static void test_##id(void **state)                                                   \
    {                                                                                     \
        (void)state;                                                                      \
        const int pieces[] = {__VA_ARGS__};                                               \
        golden_check_pieces(#file ".safetensors", pieces, (int)COUNT(pieces), TOLERANCE); \
    }

LOGITS(rwkv4)
LOGITS(rwkv5_1)
LOGITS(rwkv5_2)
LOGITS(rwkv6)
LOGITS(rwkv7)

PIECES(whole_rwkv4, rwkv4, 70)
PIECES(steps_rwkv4, rwkv4, 1)
PIECES(chunks_rwkv4, rwkv4, 16, 1, 31, 2, 1)
PIECES(whole_rwkv5_1, rwkv5_1, 70)
PIECES(steps_rwkv5_1, rwkv5_1, 1)
PIECES(chunks_rwkv5_1, rwkv5_1, 16, 1, 31, 2, 1)
PIECES(whole_rwkv5_2, rwkv5_2, 70)
PIECES(steps_rwkv5_2, rwkv5_2, 1)
PIECES(chunks_rwkv5_2, rwkv5_2, 3, 1, 1, 33)
PIECES(whole_rwkv6, rwkv6, 70)
PIECES(steps_rwkv6, rwkv6, 1)
PIECES(chunks_rwkv6, rwkv6, 5, 1, 40, 7)
PIECES(whole_rwkv7, rwkv7, 70)
PIECES(steps_rwkv7, rwkv7, 1)
PIECES(chunks_rwkv7, rwkv7, 5, 1, 40, 7)

/* A model that the folder of test data holds, with expected logits beside it. */
static void check_data(const char *name, bool steps)
{
    const char *folder = getenv("MICRORWKV_TEST_DATA");
    char model[1024], expected[1024];
    if (!folder) {
        print_message("MICRORWKV_TEST_DATA is not set: it names a folder with golden/%s.pth\n", name);
        skip();
    }
    snprintf(model, sizeof model, "%s/golden/%s.pth", folder, name);
    snprintf(expected, sizeof expected, "%s/golden/%s.expected.safetensors", folder, name);
    struct golden g = golden_open_pair(model, expected);
    if (steps)
        golden_check_split(&g, (const int[]){1}, 1, TOLERANCE_DATA);
    else
        golden_check_logits(&g, TOLERANCE_DATA);
    golden_close(&g);
}

#define DATA(id, name)                             \
    static void test_data_##id(void **state)       \
    {                                              \
        (void)state;                               \
        check_data(name, false);                   \
    }                                              \
    static void test_data_steps_##id(void **state) \
    {                                              \
        (void)state;                               \
        check_data(name, true);                    \
    }

DATA(rwkv4, "rwkv4-random")
DATA(rwkv5, "rwkv5-random")
DATA(rwkv6, "rwkv6-random")
DATA(rwkv7, "rwkv7-random")

/* Loss, logits and the gradients of every parameter. */
#define GRADIENTS(id, tolerance)                                                    \
    static void test_gradients_##id(void **state)                                   \
    {                                                                               \
        (void)state;                                                                \
        golden_check_gradients(#id "_gradients.safetensors", TOLERANCE, tolerance); \
    }

GRADIENTS(rwkv4, GRADIENT)
GRADIENTS(rwkv5_1, 1e-4) /* a decay of all channels is a sum of what nearly cancels */
GRADIENTS(rwkv5_2, GRADIENT)
GRADIENTS(rwkv6, GRADIENT)
GRADIENTS(rwkv7, GRADIENT)

static void test_too_wide_heads_are_refused(void **state)
{
    (void)state;
    for (int family = MR_RWKV5; family <= MR_RWKV7; family++) {
        struct mr_params params = {0};
        struct mr_config cfg;
        mr_config_defaults(&cfg, family);
        cfg.head_size = 256;
        assert_fails(MR_EINVAL, "head_size 256", mr_model_declare(&params, &cfg));
        mr_params_free(&params);
    }
}

static void check_start(const char *family, bool rwkv51)
{
    mr_runtime *rt;
    mr_model *model;
    mr_workspace *ws;
    struct mr_config cfg;
    const int32_t tokens[] = {3, 1, 4, 1, 5};
    const struct mr_piece piece = {-1, tokens, 5, MR_LOGITS_ALL};
    const struct mr_workspace_options options = {.batch = 1, .time = 5, .logits = 5};
    float logits[5 * 11];
    mr_config_defaults(&cfg, mr_family_by_name(family));
    cfg.n_layer = 3;
    cfg.n_embd = 24;
    cfg.head_size = 8;
    cfg.vocab_size = 11;
    cfg.rwkv51 = rwkv51;
    assert_ok(mr_runtime_open(&rt, NULL));
    assert_ok(mr_model_create(&model, rt, &cfg, NULL, NULL, false));
    assert_ok(mr_model_init(model, 1));
    assert_ok(mr_workspace_create(&ws, model, &options));
    assert_ok(mr_run(ws, NULL, &piece, 1));
    assert_ok(mr_workspace_logits(ws, 0, 5, logits));
    for (size_t i = 0; i < COUNT(logits); i++)
        assert_true(isfinite(logits[i]) && logits[i] != 0);
    mr_workspace_free(ws);
    mr_model_free(model);
    mr_runtime_close(rt);
}

static void test_new_models_have_finite_logits(void **state)
{
    (void)state;
    check_start("rwkv4", false);
    check_start("rwkv5", false);
    check_start("rwkv5", true);
    check_start("rwkv6", false);
    check_start("rwkv7", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_rwkv4),
        cmocka_unit_test(test_logits_rwkv5_1),
        cmocka_unit_test(test_logits_rwkv5_2),
        cmocka_unit_test(test_logits_rwkv6),
        cmocka_unit_test(test_logits_rwkv7),
        cmocka_unit_test(test_whole_rwkv4),
        cmocka_unit_test(test_whole_rwkv5_1),
        cmocka_unit_test(test_steps_rwkv4),
        cmocka_unit_test(test_steps_rwkv5_1),
        cmocka_unit_test(test_chunks_rwkv4),
        cmocka_unit_test(test_chunks_rwkv5_1),
        cmocka_unit_test(test_whole_rwkv5_2),
        cmocka_unit_test(test_steps_rwkv5_2),
        cmocka_unit_test(test_chunks_rwkv5_2),
        cmocka_unit_test(test_whole_rwkv6),
        cmocka_unit_test(test_steps_rwkv6),
        cmocka_unit_test(test_chunks_rwkv6),
        cmocka_unit_test(test_whole_rwkv7),
        cmocka_unit_test(test_steps_rwkv7),
        cmocka_unit_test(test_chunks_rwkv7),
        cmocka_unit_test(test_data_rwkv4),
        cmocka_unit_test(test_data_rwkv5),
        cmocka_unit_test(test_data_steps_rwkv4),
        cmocka_unit_test(test_data_steps_rwkv5),
        cmocka_unit_test(test_data_rwkv6),
        cmocka_unit_test(test_data_steps_rwkv6),
        cmocka_unit_test(test_data_rwkv7),
        cmocka_unit_test(test_data_steps_rwkv7),
        cmocka_unit_test(test_gradients_rwkv4),
        cmocka_unit_test(test_gradients_rwkv5_1),
        cmocka_unit_test(test_gradients_rwkv5_2),
        cmocka_unit_test(test_gradients_rwkv6),
        cmocka_unit_test(test_gradients_rwkv7),
        cmocka_unit_test(test_too_wide_heads_are_refused),
        cmocka_unit_test(test_new_models_have_finite_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
