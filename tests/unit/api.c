/* SPDX-License-Identifier: GPL-3.0-or-later
 * The public interface beyond texts: devices, memory, preparing, training, evaluating, converting; and its structs as
 * programs hand them over that know fewer or more of their fields. */
#include "model_test.h"

#include <math.h>

#include "base/file.h"
#include "microrwkv/microrwkv.h"
#include "rt/rt.h"

static mr_runtime *rt;
static char *model, *data;

/* How often a callback was called, and the call from which on it says no; 0: never. */
struct told {
    int calls, stop;
    double last;
};

static int tell(void *context, double part)
{
    struct told *told = context;
    assert_true(part >= 0 && part <= 1);
    told->last = part;
    return ++told->calls == told->stop;
}

static int open_all(void **test)
{
    (void)test;
    char text[20000];
    const char *inputs[] = {test_path("text"), NULL};
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the cat sat on the mat. "[i % 24];
    assert_ok(mr_file_write(inputs[0], text, sizeof text));
    data = strdup(test_path("data"));
    assert_ok(mr_prepare_run(inputs, data, NULL));
    model = strdup(test_write_model("rwkv4-169m", "{\"n_layer\": 2, \"n_embd\": 32, \"vocab_size\": 260}", 1));
    return mr_runtime_open(&rt, NULL);
}

static int close_all(void **test)
{
    mr_runtime_close(rt);
    free(model);
    free(data);
    return test_cleanup(test);
}

static void test_devices_are_counted_and_described(void **test)
{
    (void)test;
    size_t count, again;
    assert_ok(mr_devices(NULL, 0, &count));
    assert_true(count > 0);
    struct mr_device *list = calloc(count, sizeof *list), own = {.size = sizeof own};
    list[0].size = sizeof *list;
    assert_ok(mr_devices(list, count, &again));
    assert_int_equal(count, again);
    assert_ok(mr_runtime_device(rt, &own));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list[i].size, sizeof *list);
        assert_true(list[i].name[0] && list[i].memory > 0 && list[i].largest_group > 0);
        assert_true(list[i].lanes > 0 && list[i].vec > 0 && list[i].gemm[0] && list[i].gemm_table[0]);
        if (list[i].index == own.index)
            assert_string_equal(list[i].name, own.name);
    }
    free(list);
}

static void test_structs_of_other_versions_are_understood(void **test)
{
    (void)test;
    struct {
        size_t size;
        int index;
        char rest[4];
    } old = {.size = offsetof(struct mr_device, index) + sizeof(int), .rest = "old"};
    assert_ok(mr_runtime_device(rt, (struct mr_device *)(void *)&old));
    assert_string_equal(old.rest, "old"); /* nothing beyond what the program knows is written */
    struct {
        struct mr_memory_options known;
        char unknown[64];
    } newer;
    struct mr_memory_use use = {.size = sizeof use}, same = {.size = sizeof same};
    memset(&newer, 7, sizeof newer);
    mr_memory_defaults(&newer.known, sizeof newer.known);
    newer.known.size = sizeof newer;
    assert_ok(mr_model_memory(model, &newer.known, &use));
    assert_ok(mr_model_memory(model, NULL, &same));
    assert_int_equal(use.total, same.total);
    newer.known.size = 0;
    assert_fails(MR_EINVAL, "mr_memory_options.size", mr_model_memory(model, &newer.known, &use));
    use.size = 0;
    assert_fails(MR_EINVAL, "mr_memory_use.size", mr_model_memory(model, NULL, &use));
}

/* The sampling of a program that does not know the seed, and of one that knows more. */
static void test_sampling_of_other_versions_is_understood(void **test)
{
    (void)test;
    struct sampling {
        struct mr_sampling known;
        double unknown[3];
    } newer[2], *older = newer;
    mr_sequence *pair[2];
    struct mr_lm_options options;
    mr_lm *lm;
    int32_t ids[3][2];
    int more[2];
    mr_lm_defaults(&options, sizeof options);
    options.sequences = 2;
    assert_ok(mr_lm_open(&lm, rt, model, &options));
    for (int version = 0; version < 3; version++) {
        struct mr_sampling plain[2];
        const void *list = version ? (const void *)newer : plain;
        for (int i = 0; i < 2; i++) {
            assert_ok(mr_sequence_open(&pair[i], lm));
            assert_ok(mr_sequence_feed(pair[i], (int32_t[]){1, 2, 3 + i}, 3));
            mr_sampling_defaults(&plain[i], sizeof plain[i]);
        }
        memset(newer, 0x5a, sizeof newer);
        if (version == 1) {
            mr_sampling_defaults(&newer[0].known, sizeof *newer);
            mr_sampling_defaults(&newer[1].known, sizeof *newer);
            assert_true(newer[0].unknown[2] == 0);
        } else if (version == 2) { /* two elements that end before the seed */
            size_t size = offsetof(struct mr_sampling, seed);
            char *second = (char *)older + size;
            mr_sampling_defaults(&older->known, size);
            mr_sampling_defaults((struct mr_sampling *)(void *)second, size);
            assert_int_equal(second[size], 0x5a); /* nothing beyond what the program knows is written */
        }
        assert_ok(mr_sequences_next(pair, list, ids[version], more, 2));
        mr_sequence_close(pair[1]);
        mr_sequence_close(pair[0]);
    }
    assert_memory_equal(ids[0], ids[1], sizeof *ids);
    assert_memory_equal(ids[0], ids[2], sizeof *ids);
    mr_lm_close(lm);
}

static void test_memory_is_what_opening_takes(void **test)
{
    (void)test;
    static const char *const precisions[] = {NULL, "f16", "q8_0"};
    uint64_t last = UINT64_MAX;
    for (size_t i = 0; i < COUNT(precisions); i++) {
        struct mr_memory_options options;
        struct mr_lm_options opening;
        struct mr_memory_use use = {.size = sizeof use};
        size_t before, after;
        mr_lm *lm;
        mr_memory_defaults(&options, sizeof options);
        mr_lm_defaults(&opening, sizeof opening);
        options.precision = opening.precision = precisions[i];
        options.texts = opening.sequences = 3;
        assert_ok(mr_model_memory(model, &options, &use));
        mr_device_bytes(rt, &before, NULL);
        assert_ok(mr_lm_open(&lm, rt, model, &opening));
        mr_device_bytes(rt, &after, NULL);
        mr_lm_close(lm);
        assert_true(use.gradients == 0 && use.moments == 0);
        assert_true(use.total >= (after - before) / 100 * 99 && use.total <= (after - before) / 100 * 101);
        assert_true(use.parameters < last);
        last = use.parameters;
    }
}

static void test_memory_of_a_name_and_of_training(void **test)
{
    (void)test;
    struct mr_memory_options options;
    struct mr_memory_use use = {.size = sizeof use};
    mr_memory_defaults(&options, sizeof options);
    assert_ok(mr_model_memory("gpt2", &options, &use));
    assert_true(use.parameters > 4 * 120000000ull && use.total > use.parameters && use.state > 0);
    options.training = 1;
    assert_ok(mr_model_memory("gpt2", &options, &use));
    assert_true(use.gradients == use.parameters && use.moments == 2 * use.parameters && use.activations > 0);
    assert_true(mr_model_memory("no-such-name", NULL, &use) == MR_EINVAL);
    assert_true(mr_model_memory("no/such/file", NULL, &use) == MR_EFILE);
}

static void test_preparing_is_told_and_stopped(void **test)
{
    (void)test;
    const char *inputs[] = {test_path("text"), NULL}, *out = test_path("never");
    struct mr_prepare_options options;
    struct told told = {.stop = 1};
    mr_prepare_defaults(&options, sizeof options);
    options.progress = tell;
    options.context = &told;
    assert_fails(MR_EINTERRUPTED, "", mr_prepare_run(inputs, out, &options));
    assert_false(mr_is_folder(out));
    assert_fails(MR_EINVAL, "nothing to prepare", mr_prepare_run(NULL, out, NULL));
    inputs[0] = "/no/such/text";
    assert_fails(MR_EFILE, "/no/such/text", mr_prepare_run(inputs, out, NULL));
}

static void test_evaluation_is_that_of_uniform_guessing_or_near(void **test)
{
    (void)test;
    struct mr_evaluate_options options;
    struct mr_evaluate_result whole = {.size = sizeof whole}, stream = {.size = sizeof stream};
    struct told told = {0};
    mr_evaluate_defaults(&options, sizeof options);
    options.block = 64;
    options.progress = tell;
    options.context = &told;
    assert_ok(mr_evaluate_run(rt, model, data, &options, &whole));
    assert_true(told.last == 1 && fabs(whole.loss - log(260)) < 2 && fabs(log(whole.perplexity) - whole.loss) < 1e-9);
    assert_true(fabs(whole.bits_per_byte - whole.loss / log(2)) < 0.01); /* a token is a byte */
    options.stream = 1;
    assert_ok(mr_evaluate_run(rt, model, data, &options, &stream));
    assert_true(stream.tokens >= whole.tokens && fabs(stream.loss - log(260)) < 2);
    told = (struct told){.stop = 2};
    assert_fails(MR_EINTERRUPTED, "stopped", mr_evaluate_run(rt, model, data, &options, &stream));
    assert_int_equal(told.calls, 2);
    options.split = "test";
    assert_fails(MR_EINVAL, "train or val", mr_evaluate_run(rt, model, data, &options, &stream));
    assert_fails(MR_EFILE, "none", mr_evaluate_run(rt, "none.mrw", data, NULL, &stream));
}

/* A training run as its callbacks see it. */
struct seen {
    int starts, iterations, evaluations, saves, asked, stop_at;
    int64_t begun, last;
    double losses[8];
};

static void on_start(void *context, const char *family, uint64_t parameters, int64_t iteration)
{
    struct seen *seen = context;
    assert_string_equal(family, "microrwkv");
    assert_true(parameters > 0);
    seen->begun = iteration;
    seen->starts++;
}

static void on_iteration(void *context, int64_t iteration, double loss, double rate, double norm, double ms)
{
    struct seen *seen = context;
    assert_true(rate > 0 && norm > 0 && ms > 0);
    seen->losses[iteration % 8] = loss;
    seen->last = iteration;
    seen->iterations++;
}

static void on_evaluation(void *context, int64_t iteration, double train_loss, double val_loss, int best)
{
    struct seen *seen = context;
    (void)iteration, (void)best;
    assert_true(isfinite(train_loss) && isfinite(val_loss));
    seen->evaluations++;
}

static void on_saved(void *context, const char *folder, int64_t iteration)
{
    struct seen *seen = context;
    (void)iteration;
    assert_true(mr_is_folder(folder));
    seen->saves++;
}

static int stop(void *context)
{
    struct seen *seen = context;
    return seen->stop_at && ++seen->asked == seen->stop_at;
}

static int train(struct seen *seen, const char *out, const char *more)
{
    char dataset[300], out_dir[300];
    const char *settings[] = {
        dataset,          out_dir,       "n_layer=1",      "n_head=2",       "n_embd=16",    "block_size=16",
        "expert_dim=8",   "window=8",    "groups=2",       "batch_size=2",   "eval_iters=1", "eval_interval=4",
        "log_interval=1", "max_iters=6", "warmup_iters=2", "vocab_size=257", more,           NULL};
    struct mr_train_options options;
    snprintf(dataset, sizeof dataset, "dataset=%s", data);
    snprintf(out_dir, sizeof out_dir, "out_dir=%s", out);
    mr_train_defaults(&options, sizeof options);
    options.context = seen;
    options.start = on_start;
    options.iteration = on_iteration;
    options.evaluation = on_evaluation;
    options.saved = on_saved;
    options.stop = stop;
    return mr_train_run(rt, settings, &options);
}

static void test_training_is_told_stopped_and_resumed(void **test)
{
    (void)test;
    struct seen whole = {0}, first = {.stop_at = 2 + 3}, second = {0};
    char *out = strdup(test_path("stopped"));
    assert_ok(train(&whole, test_path("whole"), NULL));
    assert_true(whole.starts == 1 && whole.iterations == 6 && whole.evaluations == 3 && whole.saves >= 1);
    assert_fails(MR_EINTERRUPTED, "stopped", train(&first, out, "log_interval=1000")); /* also between logged ones */
    assert_int_equal(first.asked, 2 + 3);                                              /* an evaluation's two batches */
    assert_ok(train(&second, out, "init_from=resume"));
    assert_int_equal(second.begun, 3);
    assert_int_equal(second.last, 5);
    assert_memory_equal(second.losses + 3, whole.losses + 3, 3 * sizeof(double));
    assert_fails(MR_EINVAL, "learning_rate", train(&first, test_path("wrong"), "lerning_rate=1"));
    const char *file[] = {"learning_rate=1", "second.conf", NULL};
    assert_fails(MR_EINVAL, "key=value", mr_train_run(rt, file, NULL));
    free(out);
}

static void note(void *context, const char *text)
{
    struct told *told = context;
    assert_true(*text);
    told->stop++;
}

static void test_converting_is_told_and_stopped(void **test)
{
    (void)test;
    struct mr_convert_options options;
    struct told told = {0};
    char *half = strdup(test_path("half.mrw")), *back = strdup(test_path("back.safetensors"));
    struct mr_memory_use use = {.size = sizeof use}, whole = {.size = sizeof whole};
    mr_convert_defaults(&options, sizeof options);
    options.dtype = "f16";
    options.tokenizer = "byte";
    options.progress = tell;
    options.context = &told;
    assert_ok(mr_convert(model, half, &options));
    assert_true(told.calls > 0 && told.last == 1);
    assert_ok(mr_model_memory(half, NULL, &use));
    assert_ok(mr_model_memory(model, NULL, &whole));
    assert_true(use.parameters < whole.parameters * 0.75);
    mr_convert_defaults(&options, sizeof options);
    told = (struct told){0};
    options.note = note;
    options.context = &told;
    options.to = "bin";
    assert_ok(mr_convert(half, test_path("other"), &options));
    assert_true(told.stop > 0); /* a .bin holds no tokenizer */
    mr_convert_defaults(&options, sizeof options);
    told = (struct told){.stop = 1};
    options.progress = tell;
    options.context = &told;
    assert_fails(MR_EINTERRUPTED, "", mr_convert(half, back, &options));
    assert_false(mr_is_file(back));
    assert_fails(MR_EFILE, "none.mrw", mr_convert("none.mrw", back, NULL));
    assert_true(mr_convert(half, test_path("x.unknown"), NULL) == MR_EINVAL);
    free(half);
    free(back);
}

static void test_logits_are_written_whole_and_by_step(void **test)
{
    (void)test;
    const int32_t tokens[] = {1, 2, 3, 4, 5}, wrong[] = {1, 260};
    struct mr_logits_options options;
    float logits[2][5 * 260];
    for (int step = 0; step < 2; step++) {
        mr_tensor_file *file;
        mr_logits_defaults(&options, sizeof options);
        options.step = step;
        assert_ok(mr_logits_run(rt, model, tokens, 5, test_path("logits.safetensors"), &options));
        assert_ok(mr_safetensors_open(&file, test_path("logits.safetensors")));
        assert_true(file->tensors[0].shape[0] == 5 && file->tensors[0].shape[1] == 260);
        assert_ok(mr_tensor_file_read_f32(file, 0, 0, COUNT(logits[0]), logits[step]));
        mr_tensor_file_close(file);
    }
    for (size_t i = 0; i < COUNT(logits[0]); i++)
        assert_true(fabsf(logits[0][i] - logits[1][i]) < 1e-4f);
    assert_fails(MR_EFILE, "outside the vocabulary of 260",
                 mr_logits_run(rt, model, wrong, 2, test_path("none.safetensors"), NULL));
    assert_false(mr_is_file(test_path("none.safetensors")));
    assert_fails(MR_EINVAL, "no tokens", mr_logits_run(rt, model, tokens, 0, test_path("none.safetensors"), NULL));
}

static void test_kernels_are_timed(void **test)
{
    (void)test;
    const int32_t tokens[] = {1, 2, 3};
    mr_runtime *timed;
    size_t count, again;
    assert_ok(mr_runtime_open(&timed, NULL));
    assert_ok(mr_runtime_profile(timed));
    assert_ok(mr_logits_run(timed, model, tokens, 3, test_path("logits.safetensors"), NULL));
    assert_ok(mr_runtime_times(timed, NULL, 0, &count));
    assert_true(count > 3);
    struct mr_kernel_time *list = calloc(count, sizeof *list);
    list[0].size = sizeof *list;
    assert_ok(mr_runtime_times(timed, list, count, &again));
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++)
        assert_true(list[i].kernel[0] && list[i].calls > 0 && (i == 0 || list[i].seconds <= list[i - 1].seconds));
    free(list);
    mr_runtime_close(timed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices_are_counted_and_described),
        cmocka_unit_test(test_structs_of_other_versions_are_understood),
        cmocka_unit_test(test_sampling_of_other_versions_is_understood),
        cmocka_unit_test(test_memory_is_what_opening_takes),
        cmocka_unit_test(test_memory_of_a_name_and_of_training),
        cmocka_unit_test(test_preparing_is_told_and_stopped),
        cmocka_unit_test(test_evaluation_is_that_of_uniform_guessing_or_near),
        cmocka_unit_test(test_training_is_told_stopped_and_resumed),
        cmocka_unit_test(test_converting_is_told_and_stopped),
        cmocka_unit_test(test_logits_are_written_whole_and_by_step),
        cmocka_unit_test(test_kernels_are_timed),
    };
    return cmocka_run_group_tests_name("api", tests, open_all, close_all);
}
