/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a checkpoint says beside its tensors: written as ever, and read back from every checkpoint there has been. */
#include "config_test.h"

#include <math.h>

#include "formats/checkpoint.h"
#include "formats/load.h"
#include "io/mrw.h"

static const char header[] =
    "{\"family\":\"gpt2\",\"config\":{\"n_layer\":1,\"n_head\":2,\"n_embd\":8,\"block_size\":16,"
    "\"vocab_size\":11,\"bias\":false,\"dropout\":0.25,\"gelu\":\"erf\",\"ln_eps\":1.0000000000000001e-5,\"tied\":true,"
    "\"attention_scale\":\"root\",\"ffn_dim\":32},\"training\":{\"iter\":40,\"micro_step\":80,"
    "\"optimizer_steps\":39,\"seed\":-1,\"best_val_loss\":\"inf\",\"best_iter\":0,\"gemm_table\":\"00000000000000ff\","
    "\"given\":{"
    "\"learning_rate\":0.001,\"max_iters\":100,\"decay_lr\":true,\"dataset\":\"a b\",\"device\":null},"
    "\"weights_only\":true},\"tokenizer\":{\"kind\":\"byte\"}}";

static const float weight[3] = {1, 2, 3};
static struct mr_file_tensor list[] = {
    {.name = "weight", .dtype = MR_DTYPE_F32, .ndim = 1, .shape = {3}, .shares = -1}};

static void set(struct mr_settings *settings, const char *key, struct mr_value value)
{
    assert_ok(mr_settings_set(settings, key, &value));
}

static void test_what_is_written_stays_the_same(void **state)
{
    (void)state;
    const struct mr_config cfg =
        test_config("gpt2", "{\"n_layer\": 1, \"n_head\": 2, \"n_embd\": 8, \"block_size\": 16, \"vocab_size\": 11, "
                            "\"bias\": false, \"dropout\": 0.25, \"gelu\": \"erf\"}");
    struct mr_training training = {.iter = 40,
                                   .micro_step = 80,
                                   .optimizer_steps = 39,
                                   .seed = UINT64_MAX,
                                   .best_val_loss = HUGE_VAL,
                                   .gemm_table = "00000000000000ff",
                                   .weights_only = true};
    char text[] = "a b";
    mr_tokenizer *bytes;
    mr_stored_tokenizer *stored;
    mr_tensor_writer *writer;
    mr_tensor_file *file;
    set(&training.given, "learning_rate", (struct mr_value){.kind = MR_VALUE_REAL, .real = 0.001});
    set(&training.given, "max_iters", (struct mr_value){.kind = MR_VALUE_INT, .integer = 5});
    set(&training.given, "decay_lr", (struct mr_value){.kind = MR_VALUE_BOOL, .yes = true});
    set(&training.given, "dataset", (struct mr_value){.kind = MR_VALUE_TEXT, .text = text});
    set(&training.given, "device", (struct mr_value){.kind = MR_VALUE_NONE});
    set(&training.given, "max_iters", (struct mr_value){.kind = MR_VALUE_INT, .integer = 100});
    assert_ok(mr_tokenizer_open(&bytes, "byte"));
    assert_ok(mr_tokenizer_store(bytes, &stored));
    const struct mr_checkpoint checkpoint = {&cfg, &training, stored, NULL};
    assert_ok(mr_checkpoint_begin(&writer, test_path("a.mrw"), list, 1, &checkpoint));
    assert_ok(mr_tensor_writer_append_f32(writer, weight, 3));
    assert_ok(mr_tensor_writer_finish(writer));
    assert_ok(mr_mrw_open(&file, test_path("a.mrw")));
    char *got = json_dumps(file->metadata, JSON_COMPACT);
    assert_string_equal(got, header);
    free(got);
    mr_tensor_file_close(file);
    mr_stored_tokenizer_free(stored);
    mr_tokenizer_close(bytes);
    mr_training_free(&training);
}

/* The state that a .mrw says with this metadata. */
static int read_state(const char *metadata, struct mr_training *training, bool *found)
{
    json_t *json = json_loads(metadata, 0, NULL);
    mr_tensor_writer *writer;
    assert_non_null(json);
    assert_ok(mr_mrw_begin(&writer, test_path("b.mrw"), list, 1, json, MR_MRW_LEVEL));
    assert_ok(mr_tensor_writer_append_f32(writer, weight, 3));
    assert_ok(mr_tensor_writer_finish(writer));
    json_decref(json);
    return mr_model_read_training(test_path("b.mrw"), training, found);
}

static void test_all_that_was_written_is_read(void **state)
{
    (void)state;
    struct mr_training t;
    bool found;
    assert_ok(read_state(header, &t, &found));
    assert_true(found && t.iter == 40 && t.micro_step == 80 && t.optimizer_steps == 39 && t.seed == UINT64_MAX);
    assert_true(t.weights_only && t.best_val_loss == HUGE_VAL);
    assert_string_equal(t.gemm_table, "00000000000000ff");
    assert_int_equal(mr_settings_find(&t.given, "max_iters")->integer, 100);
    assert_string_equal(mr_settings_find(&t.given, "dataset")->text, "a b");
    assert_true(mr_settings_find(&t.given, "learning_rate")->real == 0.001);
    assert_true(mr_settings_find(&t.given, "decay_lr")->yes);
    mr_training_free(&t);
}

static void test_older_and_foreign_states_are_read(void **state)
{
    (void)state;
    struct mr_training t;
    bool found;
    assert_ok(read_state("{\"training\": {\"iter\": 3, \"micro_step\": 6, \"optimizer_steps\": 3, \"seed\": 7, "
                         "\"best_val_loss\": 2.5, \"given\": {}, \"new\": [1]}}",
                         &t, &found));
    assert_true(found && !t.weights_only && t.seed == 7 && t.best_val_loss == 2.5 && !*t.gemm_table);
    mr_training_free(&t);
    assert_ok(read_state("{\"iter_num\": 5, \"config\": {\"gradient_accumulation_steps\": 8, \"seed\": 9, "
                         "\"names\": [1], \"x\": null}}",
                         &t, &found));
    assert_true(found && t.iter == 5 && t.micro_step == 40 && t.seed == 9 && t.weights_only);
    assert_int_equal(t.given.count, 2);
    mr_training_free(&t);
    assert_ok(read_state("{\"config\": {\"n_layer\": 1}}", &t, &found));
    assert_false(found);
    assert_fails(MR_EFILE, "b.mrw: ", read_state("{\"training\": {\"iter\": -3}}", &t, &found));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_stays_the_same),
        cmocka_unit_test(test_all_that_was_written_is_read),
        cmocka_unit_test(test_older_and_foreign_states_are_read),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, test_cleanup);
}
