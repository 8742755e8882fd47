/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models in several files and folders in Hugging Face layout. */
#include "content.h"

#include "io/safetensors.h"
#include "io/tensor_source.h"
#include "io/torch_file.h"

typedef int begin(mr_tensor_writer **, const char *, const struct mr_file_tensor *, size_t, const json_t *);

/* A path in a folder of its own below the test's; made on the way. */
static const char *path_in(const char *folder, const char *name)
{
    static char path[2][512];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof path[turn], "%s/%s", test_folder(), folder);
    mkdir(path[turn], 0777);
    snprintf(path[turn], sizeof path[turn], "%s/%s/%s", test_folder(), folder, name);
    return path[turn];
}

static void text(const char *path, const char *content)
{
    assert_ok(mr_file_write(path, content, strlen(content)));
}

/* Tensors from..to-1 as a file of their own; their shares must lie within. */
static void save(const struct content *c, size_t from, size_t to, const char *path, begin *format)
{
    struct content part = {c->list + from, c->data + from, c->bytes + from, to - from};
    mr_tensor_writer *w;
    for (size_t i = 0; i < part.count; i++)
        part.list[i].shares -= part.list[i].shares < 0 ? 0 : (int64_t)from;
    assert_ok(format(&w, path, part.list, part.count, NULL));
    content_write(&part, w);
    for (size_t i = 0; i < part.count; i++)
        part.list[i].shares += part.list[i].shares < 0 ? 0 : (int64_t)from;
}

/* Six tensors: 0 and 1 in a.shard, 2 and 3 in b.shard, 4 and 5 in c.shard. */
static struct content six(void)
{
    struct content c = {0};
    for (int i = 0; i < 6; i++)
        content_add(&c, i % 2 ? MR_DTYPE_F32 : MR_DTYPE_BF16, 2, 3 + i, 5, 0);
    return c;
}

static const char six_index[] = "{\"metadata\": {\"total_size\": 7}, \"weight_map\": {\"tensor.0\": "
                                "\"a.shard\", \"tensor.3\": \"b.shard\","
                                "\"tensor.1\": \"a.shard\", \"tensor.2\": \"b.shard\", \"tensor.5\": "
                                "\"c.shard\", \"tensor.4\": \"c.shard\"}}";

static void save_six(const struct content *c, const char *folder, const char *index, begin *format)
{
    save(c, 0, 2, path_in(folder, "a.shard"), format);
    save(c, 2, 4, path_in(folder, "b.shard"), format);
    save(c, 4, 6, path_in(folder, "c.shard"), format);
    text(path_in(folder, index), six_index);
}

static int open_all(const char *path)
{
    return read_all(mr_tensor_source_open, path);
}

static void test_shards_read_as_one_file(void **state)
{
    (void)state;
    struct content c = six();
    mr_tensor_file *file;
    save_six(&c, "st", "model.safetensors.index.json", mr_safetensors_begin);
    assert_ok(mr_tensor_source_open(&file, test_path("st")));
    assert_int_equal(json_integer_value(json_object_get(file->metadata, "total_size")), 7);
    assert_null(file->config);
    content_expect(&c, file);
    assert_ok(mr_tensor_source_open(&file, path_in("st", "model.safetensors.index.json")));
    content_expect(&c, file);
    content_release(&c);
}

static void test_tensors_of_torch_shards_still_share(void **state)
{
    (void)state;
    struct content c = six();
    mr_tensor_file *file;
    c.list[5].shares = 4; /* with its type, shape and bytes */
    c.list[5].dtype = c.list[4].dtype;
    memcpy(c.list[5].shape, c.list[4].shape, sizeof c.list[5].shape);
    c.bytes[5] = c.bytes[4];
    memcpy(c.data[5], c.data[4], c.bytes[4]);
    save_six(&c, "torch", "pytorch_model.bin.index.json", mr_torch_begin);
    assert_ok(mr_tensor_source_open(&file, test_path("torch")));
    content_expect(&c, file);
    content_release(&c);
}

static void test_a_folder_is_read_by_what_it_holds(void **state)
{
    (void)state;
    struct content c = six();
    mr_tensor_file *file;
    save(&c, 0, 6, path_in("bin", "pytorch_model.bin"), mr_torch_begin);
    text(path_in("bin", "config.json"), "{\"model_type\": \"gpt2\", \"n_layer\": 3}");
    assert_ok(mr_tensor_source_open(&file, test_path("bin")));
    assert_int_equal(json_integer_value(json_object_get(file->config, "n_layer")), 3);
    content_expect(&c, file);
    save(&c, 0, 4, path_in("bin", "model.safetensors"), mr_safetensors_begin); /* is taken first */
    assert_ok(mr_tensor_source_open(&file, test_path("bin")));
    assert_int_equal(file->count, 4);
    assert_string_equal(json_string_value(json_object_get(file->config, "model_type")), "gpt2");
    mr_tensor_file_close(file);
    path_in("empty", "");
    assert_fails(MR_EFILE, "holds no model: neither model.safetensors", open_all(test_path("empty")));
    assert_fails(MR_EFILE, "cannot open", open_all(test_path("no such folder")));
    content_release(&c);
}

static void test_a_file_that_says_its_configuration_needs_no_other(void **state)
{
    (void)state;
    char path[512];
    json_t *metadata = json_pack("{s:{s:i}}", "config", "n_layer", 2);
    mr_tensor_file *file;
    mr_tensor_writer *w;
    snprintf(path, sizeof path, "%s", path_in("one", "any name"));
    for (int says = 0; says < 2; says++) {
        assert_ok(mr_safetensors_begin(&w, path, NULL, 0, says ? metadata : NULL));
        assert_ok(mr_tensor_writer_finish(w));
        text(path_in("one", "config.json"), "{\"n_layer\": 3}");
        assert_ok(mr_tensor_source_open(&file, path));
        assert_true(says == !file->config);
        mr_tensor_file_close(file);
        text(path_in("one", "config.json"), "{\"n_layer\": ");
        if (says) {
            assert_ok(open_all(path));
            continue;
        }
        assert_fails(MR_EFILE, "one/config.json", open_all(path));
        text(path_in("one", "config.json"), "[3]");
        assert_fails(MR_EFILE, "one/config.json is not a JSON object", open_all(path));
    }
    json_decref(metadata);
}

static void test_what_is_missing_is_named(void **state)
{
    (void)state;
    struct content c = six();
    const char *folder = test_path("gaps");
    save_six(&c, "gaps", "model.safetensors.index.json", mr_safetensors_begin);
    assert_ok(open_all(folder));
    save(&c, 2, 3, path_in("gaps", "b.shard"), mr_safetensors_begin);
    assert_fails(MR_EFILE, "tensor \"tensor.3\" is not in the shard b.shard", open_all(folder));
    save(&c, 1, 4, path_in("gaps", "b.shard"), mr_safetensors_begin);
    assert_fails(MR_EFILE, "duplicate tensor name \"tensor.1\"", open_all(folder));
    text(path_in("gaps", "b.shard"), "no tensors, but a text");
    assert_fails(MR_EFILE, "b.shard is of no known format", open_all(folder));
    unlink(path_in("gaps", "b.shard"));
    assert_fails(MR_EFILE, "the shard b.shard is missing", open_all(folder));
    assert_non_null(strstr(mr_error_text(), "model.safetensors.index.json"));
    mkdir(path_in("gaps", "b.shard"), 0777);
    assert_fails(MR_EFILE, "the shard b.shard is missing", open_all(folder));
    content_release(&c);
}

static void test_hostile_indices_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *index, *part;
    } cases[] = {
        {"{\"weight_map\": {\"t\": \"../a.shard\"}}", "is no file beside it"},
        {"{\"weight_map\": {\"t\": \"/dev/zero\"}}", "is no file beside it"},
        {"{\"weight_map\": {\"t\": \"\"}}", "is no file beside it"},
        {"{\"weight_map\": {\"t\": \"..\"}}", "is missing"},
        {"{\"weight_map\": {\"t\": \"pytorch_model.bin.index.json\"}}", "is of no known format"},
        {"{\"weight_map\": {\"t\": 3}}", "names no file for tensor \"t\""},
        {"{\"weight_map\": {\"tensor.0\": \"a.shard\", \"tensor.0\": \"a.shard\"}}", "duplicate"},
        {"{\"weight_map\": []}", "weight_map"},
        {"{\"weight\": {}}", "weight_map"},
    };
    struct content c = six();
    const char *index = path_in("bad", "pytorch_model.bin.index.json"), *folder = test_path("bad");
    save(&c, 0, 2, path_in("bad", "a.shard"), mr_safetensors_begin);
    for (size_t i = 0; i < COUNT(cases); i++) {
        index = path_in("bad", "pytorch_model.bin.index.json");
        text(index, cases[i].index);
        assert_fails(MR_EFILE, cases[i].part, open_all(folder));
        assert_non_null(strstr(mr_error_text(), index));
    }
    for (size_t n = 0; n + 1 < sizeof six_index; n++) {
        assert_ok(mr_file_write(index, six_index, n));
        if (open_all(folder) != MR_EFILE || !strstr(mr_error_text(), index))
            fail_msg("cut after %zu bytes: %s", n, mr_error_text());
    }
    content_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shards_read_as_one_file),
        cmocka_unit_test(test_tensors_of_torch_shards_still_share),
        cmocka_unit_test(test_a_folder_is_read_by_what_it_holds),
        cmocka_unit_test(test_a_file_that_says_its_configuration_needs_no_other),
        cmocka_unit_test(test_what_is_missing_is_named),
        cmocka_unit_test(test_hostile_indices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
