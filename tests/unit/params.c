/* SPDX-License-Identifier: GPL-3.0-or-later
 * Declaring the parameters of a model: what fails is told as what it is. */
#include "unit_test.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_runs_out_is_not_an_invalid_argument),
        cmocka_unit_test(test_two_shapes_of_one_name_are_an_invalid_argument),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
