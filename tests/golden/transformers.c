/* SPDX-License-Identifier: GPL-3.0-or-later
 * GPT-2 and its variants, OPT, GPT-Neo and GPT-NeoX as transformers saves them, against what it computes of them:
 * logits of whole texts, of texts in chunks and in single steps, loss and all gradients. */
#include "golden.h"

#define TOLERANCE 1e-5
#define GRADIENT 5e-5
#define LEAST 1e-3 /* the bias of keys alone has a gradient of 0, but for rounding */

static struct golden open_folder(const char *name)
{
    char model[1024], expected[1100];
    snprintf(model, sizeof model, "%s/tests/golden/%s", getenv("MICRORWKV_TEST_SOURCE"), name);
    snprintf(expected, sizeof expected, "%s.expected.safetensors", model);
    return golden_open_pair(model, expected);
}

static void check_logits(const char *name)
{
    struct golden g = open_folder(name);
    golden_check_logits(&g, TOLERANCE);
    golden_close(&g);
}

static void check_pieces(const char *name, const int *pieces, int count)
{
    struct golden g = open_folder(name);
    golden_check_split(&g, pieces, count, TOLERANCE);
    golden_close(&g);
}

static void check_gradients(const char *name)
{
    struct golden g = open_folder(name);
    golden_check_gradients_of(&g, TOLERANCE, GRADIENT, LEAST);
    golden_close(&g);
}

#define MODEL(id)                                               \
    static void test_logits_##id(void **state)                  \
    {                                                           \
        (void)state;                                            \
        check_logits(#id);                                      \
    }                                                           \
    static void test_steps_##id(void **state)                   \
    {                                                           \
        (void)state;                                            \
        check_pieces(#id, (const int[]){1}, 1);                 \
    }                                                           \
    static void test_chunks_##id(void **state)                  \
    {                                                           \
        (void)state;                                            \
        check_pieces(#id, (const int[]){5, 1, 1, 16, 3, 1}, 6); \
    }                                                           \
    static void test_gradients_##id(void **state)               \
    {                                                           \
        (void)state;                                            \
        check_gradients(#id);                                   \
    }

MODEL(gpt2_layers)
MODEL(gpt2_relu)
MODEL(gpt2_quick)
MODEL(gpt2_gelu)
MODEL(opt)
MODEL(gptneo)
MODEL(gptneox)
MODEL(gptneox_sequential)

#define TESTS(id)                                                                                              \
    cmocka_unit_test(test_logits_##id), cmocka_unit_test(test_steps_##id), cmocka_unit_test(test_chunks_##id), \
        cmocka_unit_test(test_gradients_##id)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTS(gpt2_layers), TESTS(gpt2_relu), TESTS(gpt2_quick), TESTS(gpt2_gelu),
        TESTS(opt),         TESTS(gptneo),    TESTS(gptneox),    TESTS(gptneox_sequential),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
