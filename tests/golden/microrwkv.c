/* SPDX-License-Identifier: GPL-3.0-or-later
 * MicroRWKV against golden files: loss, logits and all gradients in both modes; the same logits from any split into
 * chunks and single steps. */
#include "golden.h"

#define LOGITS 2e-4
#define GRADIENT 1e-3

#define GRADIENTS(id, file)                                            \
    static void test_gradients_##id(void **state)                      \
    {                                                                  \
        (void)state;                                                   \
        golden_check_gradients(file ".safetensors", LOGITS, GRADIENT); \
    }

#define PIECES(id, file, ...)                                                         \
    static void test_pieces_##id(void **state)                                        \
    {                                                                                 \
        (void)state;                                                                  \
        const int pieces[] = {__VA_ARGS__};                                           \
        golden_check_pieces(file ".safetensors", pieces, (int)COUNT(pieces), LOGITS); \
    }

GRADIENTS(causal, "micro-causal-t48")
GRADIENTS(causal_bias, "micro-causal-t130-bias")
GRADIENTS(causal_without_positions, "micro-causal-t300-nopos")
GRADIENTS(causal_topk, "micro-causal-t48-topk")
GRADIENTS(reference, "micro-ref-t48")
GRADIENTS(reference_short, "micro-ref-t5")
GRADIENTS(reference_padded, "micro-ref-t300-pad")

PIECES(single_steps, "micro-causal-t48", 1)
PIECES(single_steps_topk, "micro-causal-t48-topk", 1)
PIECES(single_steps_past_the_window, "micro-causal-t130-bias", 1)
PIECES(odd_chunks, "micro-causal-t130-bias", 7, 1, 31, 1, 40, 3)
PIECES(chunks_of_a_window, "micro-causal-t130-bias", 32)
PIECES(long_chunks, "micro-causal-t300-nopos", 255, 2, 1)
PIECES(steps_without_positions, "micro-causal-t300-nopos", 299, 1)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_causal),
        cmocka_unit_test(test_gradients_causal_bias),
        cmocka_unit_test(test_gradients_causal_without_positions),
        cmocka_unit_test(test_gradients_causal_topk),
        cmocka_unit_test(test_gradients_reference),
        cmocka_unit_test(test_gradients_reference_short),
        cmocka_unit_test(test_gradients_reference_padded),
        cmocka_unit_test(test_pieces_single_steps),
        cmocka_unit_test(test_pieces_single_steps_topk),
        cmocka_unit_test(test_pieces_single_steps_past_the_window),
        cmocka_unit_test(test_pieces_odd_chunks),
        cmocka_unit_test(test_pieces_chunks_of_a_window),
        cmocka_unit_test(test_pieces_long_chunks),
        cmocka_unit_test(test_pieces_steps_without_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
