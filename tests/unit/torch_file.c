/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files of torch.save: what PyTorch wrote is read, what is written is what PyTorch writes, and nothing wrong
 * or hostile goes through. */
#include "content.h"

#include "io/safetensors.h"
#include "io/tensor_source.h"
#include "io/torch_file.h"

static mr_tensor_file *open_source(const char *name)
{
    mr_tensor_file *file;
    assert_ok(mr_tensor_source_open(&file, test_source(name)));
    assert_string_equal(file->format->name, "torch");
    return file;
}

static size_t find(const mr_tensor_file *file, const char *name)
{
    int64_t i = mr_tensor_file_find(file, name);
    if (i < 0)
        fail_msg("%s has no tensor %s", file->path, name);
    return (size_t)i;
}

/* ---- what PyTorch wrote ---- */

/* The tensor has this shape and, at each index, the value a + b i + c j + d k. */
static void expect_linear(mr_tensor_file *file, const char *name, const int64_t shape[3], const float by[4])
{
    size_t at = find(file, name), count = 0;
    float values[128];
    const struct mr_file_tensor *t = &file->tensors[at];
    for (int k = 0; k < t->ndim; k++)
        assert_int_equal(t->shape[k], shape[3 - t->ndim + k]);
    assert_ok(mr_tensor_file_read_f32(file, at, 0, (size_t)(shape[0] * shape[1] * shape[2]), values));
    for (int64_t i = 0; i < shape[0]; i++)
        for (int64_t j = 0; j < shape[1]; j++)
            for (int64_t k = 0; k < shape[2]; k++, count++)
                if (values[count] != by[0] + by[1] * (float)i + by[2] * (float)j + by[3] * (float)k)
                    fail_msg("%s: element %zu is %g", name, count, (double)values[count]);
}

/* tests/golden/make_torch_files.py says what is in it. */
static void test_views_of_every_kind(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t shape[3];
        float by[4];
    } views[] = {
        {"whole", {1, 5, 12}, {0, 0, 12, 1}},        {"same", {1, 5, 12}, {0, 0, 12, 1}},
        {"transposed", {1, 12, 5}, {0, 0, 1, 12}},   {"columns", {1, 5, 4}, {3, 0, 12, 1}},
        {"every_second", {1, 2, 4}, {12, 0, 24, 3}}, {"row", {1, 1, 12}, {24, 0, 0, 1}},
        {"permuted", {4, 2, 3}, {0, 1, 12, 4}},      {"expanded", {1, 4, 3}, {1, 0, 0, 1}},
        {"parameter", {1, 1, 3}, {1, 0, 0, 0}},      {"empty", {1, 0, 7}, {0, 0, 0, 0}},
        {"float16", {1, 1, 7}, {0, 0, 0, 1}},        {"bfloat16", {1, 1, 7}, {0, 0, 0, 1}},
        {"float64", {1, 1, 7}, {0, 0, 0, 1}},        {"int64", {1, 1, 7}, {0, 0, 0, 1}},
        {"int32", {1, 1, 7}, {0, 0, 0, 1}},          {"int16", {1, 1, 7}, {0, 0, 0, 1}},
        {"int8", {1, 1, 7}, {0, 0, 0, 1}},           {"uint8", {1, 1, 7}, {0, 0, 0, 1}},
    };
    mr_tensor_file *file = open_source("tests/golden/strides.pt");
    for (size_t i = 0; i < COUNT(views); i++) {
        char name[64];
        snprintf(name, sizeof name, "model.%s", views[i].name);
        expect_linear(file, name, views[i].shape, views[i].by);
    }
    float truth[7];
    assert_ok(mr_tensor_file_read_f32(file, find(file, "model.bool"), 0, 7, truth));
    assert_true(truth[0] == 0 && truth[1] == 1 && truth[6] == 1);
    expect_linear(file, "optimizer.state.0.exp_avg", (int64_t[]){1, 1, 5}, (float[]){0, 0, 0, 12});
    assert_int_equal(file->tensors[find(file, "model.same")].shares, find(file, "model.whole"));
    assert_int_equal(file->tensors[find(file, "model.row")].shares, -1);
    mr_tensor_file_close(file);
}

static void test_all_else_is_metadata(void **state)
{
    (void)state;
    json_t *want = json_loads("{\"optimizer\": {\"param_groups\": [{\"lr\": 0.001, \"betas\": [0.9, 0.95],"
                              "\"fused\": null, \"params\": [0, 1]}]}, \"iter_num\": 1099511627776,"
                              "\"negative\": -5, \"best_val_loss\": 1.5, \"text\": \"caf\\u00e9\", \"nothing\": {},"
                              "\"size\": [5, 12], \"huge\": 1180591620717411303424.0, \"infinite\": \"inf\"}",
                              0, NULL);
    mr_tensor_file *file = open_source("tests/golden/strides.pt");
    char *text = json_dumps(file->metadata, 0);
    if (!json_equal(file->metadata, want))
        fail_msg("the metadata is %s", text);
    free(text);
    json_decref(want);
    mr_tensor_file_close(file);
}

static void test_a_view_reads_alike_in_any_pieces(void **state)
{
    (void)state;
    mr_tensor_file *file = open_source("tests/golden/strides.pt");
    for (int round = 0; round < 2000; round++) {
        size_t i = noise() % file->count, count, bytes;
        uint8_t whole[480], part[480];
        assert_ok(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
        if (!bytes)
            continue;
        size_t from = noise() % bytes, n = noise() % (bytes - from + 1);
        assert_ok(mr_tensor_file_read(file, i, from, n, part));
        assert_ok(mr_tensor_file_read(file, i, 0, bytes, whole));
        assert_memory_equal(part, whole + from, n);
    }
    mr_tensor_file_close(file);
}

static void test_a_checkpoint_holds_the_golden_weights(void **state)
{
    (void)state;
    mr_tensor_file *file = open_source("tests/golden/micro-ref-t48.ckpt.pt"), *golden;
    assert_ok(mr_safetensors_open(&golden, test_source("tests/golden/micro-ref-t48.safetensors")));
    int compared = 0;
    for (size_t i = 0; i < file->count; i++) {
        int64_t k = mr_tensor_file_find(golden, file->tensors[i].name);
        size_t count, bytes;
        if (k < 0)
            continue;
        assert_ok(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
        uint8_t *a = malloc(bytes), *b = malloc(bytes);
        assert_ok(mr_tensor_file_read(file, i, 0, bytes, a));
        assert_ok(mr_tensor_file_read(golden, (size_t)k, 0, bytes, b));
        assert_memory_equal(a, b, bytes);
        free(a);
        free(b);
        compared++;
    }
    assert_true(compared > 60);
    assert_int_equal(json_integer_value(json_object_get(file->metadata, "iter_num")), 500);
    assert_true(json_real_value(json_object_get(file->metadata, "best_val_loss")) == 3.25);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(file->metadata, "model_args"), "n_embd")), 32);
    assert_int_equal(file->tensors[find(file, "model.lm_head.weight")].shares,
                     find(file, "model.transformer.wte.weight"));
    mr_tensor_file_close(golden);
    mr_tensor_file_close(file);
}

/* ---- writing ---- */

/* What tests/golden/read_torch.py says of a file; the caller frees it. */
static char *python_reads(const char *path)
{
    char command[2048];
    size_t size = 0, room = 1 << 20;
    char *text = malloc(room);
    snprintf(command, sizeof command, "python3 %s %s", test_source("tests/golden/read_torch.py"), path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_non_null(text);
    size = fread(text, 1, room - 1, p);
    text[size] = 0;
    if (pclose(p) || size < 100)
        fail_msg("%s failed: %s", command, text);
    return text;
}

static void test_checkpoints_are_written_as_torch_wrote_them(void **state)
{
    (void)state;
    static const char *const names[] = {"tests/golden/micro-ref-t48.ckpt.pt", "tests/golden/nanorwkv-trained.ckpt.pt"};
    for (size_t k = 0; k < COUNT(names); k++) {
        mr_tensor_file *file = open_source(names[k]), *again;
        const char *path = test_path("again.pt");
        mr_tensor_writer *w;
        char one[33], other[33];
        assert_ok(mr_torch_begin(&w, path, file->tensors, file->count, file->metadata));
        for (size_t i = 0; i < file->count; i++)
            if (file->tensors[i].shares < 0)
                assert_ok(mr_tensor_writer_copy(w, file, i));
        assert_ok(mr_tensor_writer_finish(w));
        assert_ok(mr_torch_open(&again, path));
        assert_int_equal(file->count, again->count);
        assert_true(json_equal(file->metadata, again->metadata));
        for (size_t i = 0; i < file->count; i++) {
            assert_string_equal(file->tensors[i].name, again->tensors[i].name);
            assert_int_equal(file->tensors[i].shares, again->tensors[i].shares);
        }
        assert_ok(mr_tensor_file_digest(file, one));
        assert_ok(mr_tensor_file_digest(again, other));
        assert_string_equal(one, other);
        mr_tensor_file_close(file);
        mr_tensor_file_close(again);
        char *want = python_reads(test_source(names[k])), *got = python_reads(path);
        assert_string_equal(want, got);
        free(want);
        free(got);
    }
}

static void save(const struct content *c, const char *path, const json_t *metadata)
{
    mr_tensor_writer *w;
    assert_ok(mr_torch_begin(&w, path, c->list, c->count, metadata));
    content_write(c, w);
}

/* All that torch has a storage for. */
static struct content small_content(void)
{
    struct content c = {0};
    for (int dtype = 0; dtype <= MR_DTYPE_BOOL; dtype++)
        if (dtype != MR_DTYPE_U16)
            content_add(&c, (enum mr_dtype)dtype, 2, 3, 7, 1);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    content_add(&c, MR_DTYPE_F32, 3, 5, 0, 2);
    content_add(&c, MR_DTYPE_BF16, 3, 2, 3, 5);
    return c;
}

static void test_every_type_comes_back(void **state)
{
    (void)state;
    struct content c = small_content();
    const char *path = test_path("types.pth");
    mr_tensor_file *file;
    save(&c, path, NULL);
    assert_ok(mr_tensor_source_open(&file, path));
    content_expect(&c, file);
    json_t *metadata = json_pack("{s:s, s:[f, b, n], s:{s:I}}", "text", "caf\xc3\xa9", "list", 0.1, 1, "deep", "n",
                                 (json_int_t)INT64_MIN);
    save(&c, path, metadata);
    assert_ok(mr_tensor_source_open(&file, path));
    assert_int_equal(json_object_del(file->metadata, "tensor.10"), 0); /* the number without dimensions */
    assert_true(json_equal(file->metadata, metadata));
    content_expect(&c, file);
    json_decref(metadata);
    content_release(&c);
}

static void test_an_optimizer_is_written_from_names(void **state)
{
    (void)state;
    static const char *const names[] = {"model.b",
                                        "model.a",
                                        "optimizer.state.0.step",
                                        "optimizer.state.0.exp_avg",
                                        "optimizer.state.10.exp_avg",
                                        "optimizer.state.2.exp_avg"};
    struct content c = {0};
    for (size_t i = 0; i < COUNT(names); i++) {
        content_add(&c, MR_DTYPE_F32, i != 2, 6, 0, 0);
        strcpy(c.list[i].name, names[i]);
    }
    c.list[1].shares = 0;
    memcpy(c.data[1], c.data[0], c.bytes[0]);
    json_t *metadata = json_loads("{\"optimizer\": {\"param_groups\": [{\"betas\": [0.9, 0.95], \"eps\": 1e-8}]},"
                                  "\"iter_num\": 7}",
                                  0, NULL);
    save(&c, test_path("made.pt"), metadata);
    char *text = python_reads(test_path("made.pt"));
    /* numbers as keys, in order; betas a tuple; tied weights in one storage */
    assert_non_null(strstr(text, "['model']['a'] FloatStorage (6,) (1,) 0 0 "));
    assert_non_null(strstr(text, "{'model': {'b': 'tensor', 'a': 'tensor'}, 'optimizer': {'state': {0: {'step': "
                                 "'tensor', 'exp_avg': 'tensor'}, 2: {'exp_avg': 'tensor'}, 10: {'exp_avg': "
                                 "'tensor'}}, 'param_groups': [{'betas': (0.9, 0.95), 'eps': 1e-08}]}, "
                                 "'iter_num': 7}"));
    free(text);
    json_decref(metadata);
    content_release(&c);
}

static void test_what_torch_cannot_hold_is_not_written(void **state)
{
    (void)state;
    static const enum mr_dtype dtypes[] = {MR_DTYPE_U16, MR_DTYPE_Q4_0, MR_DTYPE_Q8_0};
    const char *path = test_path("never.pt");
    struct mr_file_tensor t = {.name = (char[]){"optimizer.state.x.y"}, .ndim = 1, .shape = {32}, .shares = -1};
    mr_tensor_writer *w;
    for (size_t i = 0; i < COUNT(dtypes); i++) {
        t.dtype = dtypes[i];
        assert_fails(MR_EINVAL, "torch files cannot hold", mr_torch_begin(&w, path, &t, 1, NULL));
        assert_non_null(strstr(mr_error_text(), path));
    }
    t.dtype = MR_DTYPE_F32;
    json_t *metadata = json_pack("{s:i}", "iter_num", 1);
    assert_fails(MR_EINVAL, "is not named as optimizer.state.N.KEY", mr_torch_begin(&w, path, &t, 1, metadata));
    json_decref(metadata);
    assert_false(mr_is_file(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_views_of_every_kind),
        cmocka_unit_test(test_all_else_is_metadata),
        cmocka_unit_test(test_a_view_reads_alike_in_any_pieces),
        cmocka_unit_test(test_a_checkpoint_holds_the_golden_weights),
        cmocka_unit_test(test_checkpoints_are_written_as_torch_wrote_them),
        cmocka_unit_test(test_every_type_comes_back),
        cmocka_unit_test(test_an_optimizer_is_written_from_names),
        cmocka_unit_test(test_what_torch_cannot_hold_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
