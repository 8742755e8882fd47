/* SPDX-License-Identifier: GPL-3.0-or-later
 * Declaring the parameters of a model: what fails is told as what it is. */
#include "unit_test.h"

#include <math.h>

#include "base/alloc.h"
#include "model/model.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define CAN_RUN_OUT 1
void *__libc_calloc(size_t count, size_t size);
static long callocs_left = -1; /* below 0: as many as wanted */

/* Stands before the C library's. */
void *calloc(size_t count, size_t size)
{
    if (callocs_left == 0)
        return NULL;
    callocs_left -= callocs_left > 0;
    return __libc_calloc(count, size);
}
#else
#define CAN_RUN_OUT 0
static long callocs_left;
#endif

static void test_memory_that_runs_out_is_not_an_invalid_argument(void **state)
{
    (void)state;
    if (!CAN_RUN_OUT) {
        print_message("the C library's calloc cannot be replaced here\n");
        skip();
    }
    for (int family = 0; family < MR_FAMILIES; family++) {
        struct mr_config cfg;
        int err = -1, n = 0;
        mr_config_defaults(&cfg, family);
        cfg.n_layer = 2;
        for (; err; n++) {
            struct mr_params params = {0};
            callocs_left = n;
            err = mr_model_declare(&params, &cfg);
            callocs_left = -1;
            mr_params_free(&params);
            if (err && err != MR_ENOMEM)
                fail_msg("%s, allocation %d: error %d: %s", mr_family_name(family), n, err, mr_error_text());
        }
        assert_true(n > 10);
    }
}

static void test_two_shapes_of_one_name_are_an_invalid_argument(void **state)
{
    (void)state;
    struct mr_params params = {0};
    struct mr_param *first = mr_declare(&params, "a.", "b", mr_shape(2, 3));
    assert_non_null(first);
    assert_ptr_equal(mr_declare(&params, "a.", "b", mr_shape(2, 3)), first);
    assert_null(mr_declare(&params, "a.", "b", mr_shape(3, 2)));
    assert_int_equal(params.error, MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "a.b is declared with two different shapes"));
    mr_params_free(&params);
}

/* All values of a parameter, in two parts */
static float *values_of(struct mr_params *params, const struct mr_config *cfg, const char *name)
{
    const struct mr_param *p = mr_param_find(params, "", name);
    assert_non_null(p);
    float *values = malloc(p->count * sizeof *values);
    assert_non_null(values);
    assert_ok(mr_param_draw(params, p->index, 5));
    assert_ok(mr_param_init(params, p->index, cfg, 5, 0, p->count / 3, values));
    assert_ok(mr_param_init(params, p->index, cfg, 5, p->count / 3, p->count - p->count / 3, values + p->count / 3));
    return values;
}

/* Rows or columns, whichever are fewer: at right angles, and as long as the gain. */
static void check_orthogonal(struct mr_params *params, const struct mr_config *cfg, const char *name, double gain)
{
    const struct mr_param *p = mr_param_find(params, "", name);
    float *a = values_of(params, cfg, name);
    size_t rows = p->shape[0], cols = p->shape[1], count = rows < cols ? rows : cols, length = p->count / count;
    size_t step = rows < cols ? 1 : cols, next = rows < cols ? cols : 1;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j <= i; j++) {
            double dot = 0, want = i == j ? gain * gain : 0;
            for (size_t e = 0; e < length; e++)
                dot += (double)a[i * next + e * step] * a[j * next + e * step];
            if (!(fabs(dot - want) <= 1e-4 * gain * gain))
                fail_msg("%s: vectors %zu and %zu: %g, not %g", name, i, j, dot, want);
        }
    free(a);
}

static void check_value(struct mr_params *params, const struct mr_config *cfg, const char *name, size_t i, double want)
{
    float *values = values_of(params, cfg, name);
    if (!(fabs(values[i] - want) <= 1e-6 * fmax(1, fabs(want))))
        fail_msg("%s[%zu] is %g, not %g", name, i, (double)values[i], want);
    free(values);
}

static void test_rwkv7_starts_as_its_trainer_starts_it(void **state)
{
    (void)state;
    struct mr_params params = {0};
    struct mr_config cfg;
    mr_config_defaults(&cfg, MR_RWKV7);
    cfg.n_layer = 3;
    cfg.n_embd = 40;
    cfg.head_size = 20;
    cfg.vocab_size = 90;
    assert_ok(mr_model_declare(&params, &cfg));
    check_orthogonal(&params, &cfg, "blocks.1.att.receptance.weight", 1);
    check_orthogonal(&params, &cfg, "blocks.1.att.key.weight", 0.1);
    check_orthogonal(&params, &cfg, "blocks.2.ffn.key.weight", 1);
    check_orthogonal(&params, &cfg, "blocks.2.att.w2", 0.1);
    check_orthogonal(&params, &cfg, "head.weight", 0.5 * sqrt(90.0 / 40));
    check_value(&params, &cfg, "blocks.1.att.output.weight", 7, 0);
    check_value(&params, &cfg, "blocks.1.ffn.value.weight", 7, 0);
    check_value(&params, &cfg, "blocks.1.att.g1", 7, 0);
    check_value(&params, &cfg, "blocks.1.att.x_r", 10, 1 - pow(0.25, 0.2 * 2 / 3));
    check_value(&params, &cfg, "blocks.1.att.x_a", 10, 1 - pow(0.25, 0.9 * 2 / 3));
    check_value(&params, &cfg, "blocks.1.att.x_v", 10, 1 - pow(0.25, 0.7 * 2 / 3));
    check_value(&params, &cfg, "blocks.1.ffn.x_k", 10, 1 - pow(0.25, 16.0 / 81));
    double z = (25 % 20 - 9.5) / 9.5, zigzag = z * fabs(z), along = 25.0 / 39;
    check_value(&params, &cfg, "blocks.1.att.w0", 25, -5.5 + 6 * pow(along, 1 + pow(0.5, 0.3)) + 2.5 * zigzag);
    check_value(&params, &cfg, "blocks.1.att.a0", 25, -0.19 + 0.3 * zigzag + 0.4 * (along - 0.5));
    check_value(&params, &cfg, "blocks.1.att.v0", 25, 0.73 - 0.4 * (along - 0.5));
    check_value(&params, &cfg, "blocks.1.att.k_k", 25, 0.71 - 0.1 * (along - 0.5));
    check_value(&params, &cfg, "blocks.1.att.k_a", 3, 1.02);
    check_value(&params, &cfg, "blocks.1.att.r_k", 3, -0.04);
    check_value(&params, &cfg, "blocks.1.att.ln_x.weight", 3, pow(2.0 / 3, 0.7));
    float *embedding = values_of(&params, &cfg, "emb.weight"), largest = 0;
    for (size_t i = 0; i < 90 * 40; i++)
        largest = fmaxf(largest, fabsf(embedding[i]));
    assert_true(largest <= 1e-4f && largest > 0.99e-4f);
    free(embedding);
    mr_params_free(&params);
}

static void declare_of(struct mr_params *params, struct mr_config *cfg, int family)
{
    *params = (struct mr_params){0};
    mr_config_defaults(cfg, family);
    cfg->n_layer = 3;
    cfg->n_embd = 40;
    cfg->head_size = 20;
    cfg->vocab_size = 90;
    assert_ok(mr_model_declare(params, cfg));
}

/* All within the range, and some near its ends. */
static void check_range(struct mr_params *params, const struct mr_config *cfg, const char *name, float range)
{
    float *values = values_of(params, cfg, name), largest = 0;
    for (size_t i = 0; i < mr_param_find(params, "", name)->count; i++)
        largest = fmaxf(largest, fabsf(values[i]));
    assert_true(largest <= range && largest > 0.98f * range);
    free(values);
}

static void test_rwkv4_starts_as_its_trainer_starts_it(void **state)
{
    (void)state;
    struct mr_params params;
    struct mr_config cfg;
    declare_of(&params, &cfg, MR_RWKV4);
    check_orthogonal(&params, &cfg, "blocks.1.att.value.weight", 1);
    check_orthogonal(&params, &cfg, "blocks.2.ffn.key.weight", 2);
    check_orthogonal(&params, &cfg, "head.weight", 0.5 * sqrt(90.0 / 40));
    const char *const zero[] = {"att.key", "att.receptance", "att.output", "ffn.value", "ffn.receptance"};
    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++) {
        char name[64];
        snprintf(name, sizeof name, "blocks.1.%s.weight", zero[i]);
        check_value(&params, &cfg, name, 7, 0);
    }
    double along = 25.0 / 39;
    check_value(&params, &cfg, "blocks.1.att.time_decay", 25, -5 + 8 * pow(along, 0.7 + 1.3 / 2));
    check_value(&params, &cfg, "blocks.1.att.time_first", 25, log(0.3) + 0.5);
    check_value(&params, &cfg, "blocks.1.att.time_mix_k", 10, pow(0.25, 2.0 / 3));
    check_value(&params, &cfg, "blocks.1.att.time_mix_v", 10, pow(0.25, 2.0 / 3) + 0.15);
    check_value(&params, &cfg, "blocks.1.att.time_mix_r", 10, pow(0.25, 1.0 / 3));
    check_value(&params, &cfg, "blocks.1.ffn.time_mix_r", 10, pow(0.25, 2.0 / 3));
    check_range(&params, &cfg, "emb.weight", 6e-4f);
    mr_params_free(&params);
}

static void test_rwkv5_and_6_start_as_their_trainer_starts_them(void **state)
{
    (void)state;
    for (int family = MR_RWKV5; family <= MR_RWKV6; family++) {
        struct mr_params params;
        struct mr_config cfg;
        declare_of(&params, &cfg, family);
        check_orthogonal(&params, &cfg, "blocks.1.att.receptance.weight", 1);
        check_orthogonal(&params, &cfg, "blocks.1.att.value.weight", 1);
        check_orthogonal(&params, &cfg, "blocks.1.att.key.weight", 0.1);
        check_orthogonal(&params, &cfg, "blocks.1.att.gate.weight", 0.1);
        check_orthogonal(&params, &cfg, "blocks.2.ffn.key.weight", sqrt(128.0 / 40)); /* 3.5 C in whole 32s */
        check_orthogonal(&params, &cfg, "head.weight", 0.5 * sqrt(90.0 / 40));
        check_value(&params, &cfg, "blocks.1.att.output.weight", 7, 0);
        check_value(&params, &cfg, "blocks.1.ffn.value.weight", 7, 0);
        check_value(&params, &cfg, "blocks.1.ffn.receptance.weight", 7, 0);
        double along = 25.0 / 39, left = 2.0 / 3;
        check_value(&params, &cfg, "blocks.1.att.time_decay", 25, -6 + 5 * pow(along, 0.7 + 1.3 / 2));
        check_value(&params, &cfg, "blocks.1.att.time_faaaa", 25, 0.5 * (1 - along) + 0.1);
        check_value(&params, &cfg, "blocks.1.att.time_faaaa", 26, 0.5 * (1 - 26.0 / 39) - 0.1);
        check_value(&params, &cfg, "blocks.1.att.ln_x.weight", 3, pow(2.0 / 3, 0.7));
        if (family == MR_RWKV5) {
            check_value(&params, &cfg, "blocks.1.att.time_mix_g", 10, pow(0.25, left / 2));
            check_value(&params, &cfg, "blocks.1.ffn.time_mix_k", 10, pow(0.25, left));
        } else {
            check_value(&params, &cfg, "blocks.1.att.time_maa_x", 10, 1 - pow(0.25, left));
            check_value(&params, &cfg, "blocks.1.att.time_maa_v", 10, 1 - pow(0.25, left) - 0.15);
            check_value(&params, &cfg, "blocks.1.att.time_maa_g", 10, 1 - pow(0.25, left / 2));
            check_value(&params, &cfg, "blocks.1.ffn.time_maa_r", 10, 1 - pow(0.25, pow(left, 3)));
            check_value(&params, &cfg, "blocks.1.att.time_maa_w1", 7, 0);
            check_value(&params, &cfg, "blocks.1.att.time_decay_w1", 7, 0);
            check_range(&params, &cfg, "blocks.1.att.time_maa_w2", 0.01f);
            check_range(&params, &cfg, "blocks.1.att.time_decay_w2", 0.01f);
        }
        check_range(&params, &cfg, "emb.weight", 1e-4f);
        mr_params_free(&params);
    }
}

/* Of RWKV-4 to 6: matrices decay, decays learn at twice the rate, bonuses at three times. */
static void test_rwkv4_to_6_have_their_trainers_groups(void **state)
{
    (void)state;
    for (int family = MR_RWKV4; family <= MR_RWKV6; family++) {
        struct mr_params params;
        struct mr_config cfg;
        declare_of(&params, &cfg, family);
        for (int i = 0; i < params.count; i++) {
            const struct mr_param *p = params.list[i];
            const char *end = strrchr(p->name, '.') + 1;
            bool weight = p->ndim == 2 && strcmp(end, "weight") == 0;
            bool bonus = strcmp(end, "time_first") == 0 || strcmp(end, "time_faaaa") == 0;
            assert_int_equal(mr_param_group(p), bonus ? 3 : strcmp(end, "time_decay") == 0 ? 2 : weight ? 0 : 1);
        }
        mr_params_free(&params);
    }
}

/* What decays, and what learns at twice the rate. */
static void test_rwkv7_has_its_trainers_groups(void **state)
{
    (void)state;
    struct mr_params params = {0};
    struct mr_config cfg;
    mr_config_defaults(&cfg, MR_RWKV7);
    cfg.n_layer = 1;
    assert_ok(mr_model_declare(&params, &cfg));
    for (int i = 0; i < params.count; i++) {
        const struct mr_param *p = params.list[i];
        bool weight = p->ndim == 2 && strstr(p->name, ".weight");
        assert_int_equal(mr_param_group(p), strstr(p->name, "att.w0") ? 2 : weight ? 0 : 1);
    }
    mr_params_free(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_runs_out_is_not_an_invalid_argument),
        cmocka_unit_test(test_two_shapes_of_one_name_are_an_invalid_argument),
        cmocka_unit_test(test_rwkv7_starts_as_its_trainer_starts_it),
        cmocka_unit_test(test_rwkv7_has_its_trainers_groups),
        cmocka_unit_test(test_rwkv4_starts_as_its_trainer_starts_it),
        cmocka_unit_test(test_rwkv5_and_6_start_as_their_trainer_starts_them),
        cmocka_unit_test(test_rwkv4_to_6_have_their_trainers_groups),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
