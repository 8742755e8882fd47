/* SPDX-License-Identifier: GPL-3.0-or-later
 * Training configurations: files of assignments in Python's manner, and the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/config.h"

static struct mr_train_config cfg;
static char logged[2000];

static void keep_log(void *context, enum mr_log_level level, const char *line)
{
    (void)context;
    (void)level;
    snprintf(logged + strlen(logged), sizeof logged - strlen(logged), "%s\n", line);
}

static int fresh(void **state)
{
    (void)state;
    logged[0] = 0;
    mr_set_log(keep_log, NULL);
    mr_train_config_free(&cfg);
    return mr_train_config_defaults(&cfg);
}

static int drop(void **state)
{
    (void)state;
    mr_train_config_free(&cfg);
    return 0;
}

static int read_text(const char *text)
{
    char path[] = "/tmp/train_config_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (int)strlen(text));
    close(fd);
    int err = mr_train_config_file(&cfg, path);
    unlink(path);
    return err;
}

static int64_t model_int(const char *key)
{
    const struct mr_value *value = mr_settings_find(&cfg.model, key);
    assert_non_null(value);
    return value->integer;
}

static void test_defaults_are_nanogpts(void **state)
{
    (void)state;
    assert_string_equal(cfg.out_dir, "out");
    assert_string_equal(cfg.init_from, "scratch");
    assert_int_equal(cfg.eval_interval, 2000);
    assert_int_equal(cfg.gradient_accumulation_steps, 40);
    assert_int_equal(cfg.batch_size, 12);
    assert_int_equal(cfg.block_size, 1024);
    assert_int_equal(cfg.max_iters, 600000);
    assert_true(cfg.learning_rate == 6e-4 && cfg.min_lr == 6e-5 && cfg.beta2 == 0.95 && cfg.grad_clip == 1.0);
    assert_true(cfg.always_save_checkpoint && cfg.decay_lr && !cfg.eval_only);
    assert_int_equal(cfg.seed, 1337);
    assert_int_equal(cfg.given.count, 0);
}

static void test_a_file_in_nanogpts_manner(void **state)
{
    (void)state;
    const char *text = "\"\"\"\nA character model.\nmax_iters = 3 stays text here\n\"\"\"\n"
                       "import time\nfrom os import path\n\n"
                       "out_dir = 'out-char'\neval_interval = 250 # often: we will overfit\n"
                       "wandb_log = False # override via command line\n"
                       "wandb_run_name = 'run-' + str(time.time())\n"
                       "dataset = \"shakespeare_char\"\n"
                       "gradient_accumulation_steps = 5 * 8\nbatch_size = 64\n"
                       "block_size = 256 # context of up to 256 previous characters\n"
                       "n_layer = 6\nn_head = 6\nn_embd = 64 * 6\ndropout = 0.2\n"
                       "learning_rate = 1e-3\nmax_iters = 5_000\nlr_decay_iters = max_iters # equal\n"
                       "min_lr = learning_rate / 10\nbeta2 = 0.99\nwarmup_iters = 100\n"
                       "always_save_checkpoint = False\n# device = 'cpu'\ncompile = False # no\n"
                       "tokens_per = 1\n";
    assert_int_equal(read_text(text), MR_EINVAL); /* but for the last line it is fine */
    assert_non_null(strstr(mr_error_text(), "line 29"));
    fresh(state);
    char cut[2000];
    snprintf(cut, sizeof cut, "%.*s", (int)(strstr(text, "tokens_per") - text), text);
    assert_int_equal(read_text(cut), 0);
    assert_string_equal(cfg.out_dir, "out-char");
    assert_string_equal(cfg.dataset, "shakespeare_char");
    assert_int_equal(cfg.gradient_accumulation_steps, 40);
    assert_int_equal(cfg.lr_decay_iters, 5000);
    assert_true(cfg.min_lr == 1e-3 / 10);
    assert_false(cfg.always_save_checkpoint);
    assert_int_equal(model_int("n_embd"), 384);
    assert_int_equal(model_int("block_size"), 256);
    assert_true(mr_value_number(mr_settings_find(&cfg.model, "dropout")) == 0.2);
    assert_non_null(strstr(logged, "wandb_run_name"));
    assert_non_null(strstr(logged, "compile"));
}

static void test_every_key_is_described(void **state)
{
    (void)state;
    struct mr_key_text key;
    int i = 0, kinds[3] = {0};
    for (int kind; (kind = mr_train_config_describe(i, &key)); i++) {
        kinds[kind]++;
        assert_true(strlen(key.name) > 1 && strlen(key.meaning) > 5 && strlen(key.value) > 0);
        char assignment[100];
        snprintf(assignment, sizeof assignment, "%s=%s", key.name, key.value);
        if (mr_train_config_assign(&cfg, assignment))
            fail_msg("%s: %s", assignment, mr_error_text());
    }
    assert_true(kinds[1] >= 25 && kinds[2] >= 25);
    assert_int_equal(mr_train_config_describe(-1, &key), 0);
    assert_int_equal(mr_train_config_check(&cfg), 0);
}

static void test_names_of_defaults_can_be_used(void **state)
{
    (void)state;
    assert_int_equal(read_text("lr_decay_iters = max_iters // 2\nmin_lr = learning_rate/10; n_embd = 2*n_head\n"), 0);
    assert_int_equal(cfg.lr_decay_iters, 300000);
    assert_int_equal(model_int("n_embd"), 16);
}

static void test_arithmetic(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int value;
    } cases[] = {{"2 + 3 * 4", 14}, {"(2 + 3) * 4", 20}, {"-2 ** 2 + 10", 6}, {"2 ** 3 ** 2", 512}, {"7 // 2", 3},
                 {"-7 // 2", -4},   {"7 % 4", 3},        {"6 / 2", 3},        {"1e3", 1000},        {"(1 +\n  2)", 3},
                 {"1 + \\\n 2", 3}, {"True + 1", 2},     {"- - 5", 5},        {"10 - 2 - 3", 5}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "max_iters = %s\n", cases[i].text);
        assert_int_equal(read_text(text), 0);
        if (cfg.max_iters != cases[i].value)
            fail_msg("%s gives %d", cases[i].text, cfg.max_iters);
    }
}

static void test_strings(void **state)
{
    (void)state;
    assert_int_equal(read_text("out_dir = 'a' \"b\" + '''c'''\ndataset = r'x\\y'\ninit_from = 'it\\'s # no comment'\n"),
                     0);
    assert_string_equal(cfg.out_dir, "abc");
    assert_string_equal(cfg.dataset, "x\\y");
    assert_string_equal(cfg.init_from, "it's # no comment");
}

static void test_unknown_key_names_the_nearest_and_the_line(void **state)
{
    (void)state;
    assert_int_equal(read_text("\n\nlearning_rat = 1\n"), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "line 3"));
    assert_non_null(strstr(mr_error_text(), "did you mean learning_rate?"));
    assert_int_equal(mr_train_config_assign(&cfg, "n_layers=3"), MR_EINVAL);
    assert_non_null(strstr(mr_error_text(), "did you mean n_layer?"));
}

static void test_what_cannot_be_evaluated_is_an_error(void **state)
{
    (void)state;
    static const char *const wrong[] = {"max_iters = len('abc')",
                                        "max_iters = [1]",
                                        "max_iters = 3 if True else 4",
                                        "max_iters =",
                                        "max_iters = 1 / 0",
                                        "max_iters = (1",
                                        "out_dir = 'open",
                                        "out_dir = f'{x}'",
                                        "out_dir = '''open\n\n",
                                        "print('hello')",
                                        "max_iters += 1",
                                        "x",
                                        "= 3",
                                        "max_iters = 'a' * 2",
                                        "learning_rate = 1e400",
                                        "max_iters = nothing",
                                        "if True: max_iters = 3",
                                        "max_iters == 3"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (read_text(wrong[i]) != MR_EINVAL)
            fail_msg("%s is accepted", wrong[i]);
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    char text[3000] = "max_iters = ";
    memset(text + 12, '(', 2000);
    assert_int_equal(read_text(text), MR_EINVAL);
    memset(text + 12, '-', 2000);
    assert_int_equal(read_text(text), MR_EINVAL);
}

static void test_kinds_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {"max_iters=many",       "max_iters=1.5", "eval_only=maybe", "eval_only=2",
                                        "learning_rate=fast",   "seed=-1",       "n_layer=few",     "mode=quick",
                                        "max_iters=3000000000", "n_layer=-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (mr_train_config_assign(&cfg, wrong[i]) != MR_EINVAL)
            fail_msg("%s is accepted", wrong[i]);
    assert_int_equal(read_text("out_dir = 3\n"), MR_EINVAL);
    assert_int_equal(read_text("dataset = None\n"), MR_EINVAL);
}

static void test_command_line(void **state)
{
    (void)state;
    static const char *const good[] = {"--out_dir=out-x",    "max_iters=2*50", "n_layer=3",
                                       "mode=reference",     "positions=None", "eval_only=True",
                                       "learning_rate=1e-3", "seed=5",         "dataset='a b'",
                                       "--batch-size=4",     "wandb_log=True", "expert_capacity_scale=1.5"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (mr_train_config_assign(&cfg, good[i]))
            fail_msg("%s: %s", good[i], mr_error_text());
    assert_string_equal(cfg.out_dir, "out-x");
    assert_int_equal(cfg.max_iters, 100);
    assert_int_equal(model_int("n_layer"), 3);
    assert_string_equal(mr_settings_find(&cfg.model, "mode")->text, "reference");
    assert_string_equal(mr_settings_find(&cfg.model, "positions")->text, "none");
    assert_true(cfg.eval_only);
    assert_string_equal(cfg.dataset, "a b");
    assert_int_equal(cfg.batch_size, 4);
    assert_int_equal(cfg.given.count, sizeof good / sizeof good[0] - 1);
    assert_int_equal(mr_train_config_assign(&cfg, "max_iters"), MR_EINVAL);
    assert_int_equal(mr_train_config_assign(&cfg, "=3"), MR_EINVAL);
}

static void test_missing_file(void **state)
{
    (void)state;
    assert_true(mr_train_config_file(&cfg, "/nonexistent/config.py") < 0);
    assert_non_null(strstr(mr_error_text(), "/nonexistent/config.py"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults_are_nanogpts, fresh),
        cmocka_unit_test_setup(test_a_file_in_nanogpts_manner, fresh),
        cmocka_unit_test_setup(test_every_key_is_described, fresh),
        cmocka_unit_test_setup(test_names_of_defaults_can_be_used, fresh),
        cmocka_unit_test_setup(test_arithmetic, fresh),
        cmocka_unit_test_setup(test_strings, fresh),
        cmocka_unit_test_setup(test_unknown_key_names_the_nearest_and_the_line, fresh),
        cmocka_unit_test_setup(test_what_cannot_be_evaluated_is_an_error, fresh),
        cmocka_unit_test_setup(test_deep_nesting_is_refused, fresh),
        cmocka_unit_test_setup(test_kinds_are_checked, fresh),
        cmocka_unit_test_setup(test_command_line, fresh),
        cmocka_unit_test_setup(test_missing_file, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, drop);
}
