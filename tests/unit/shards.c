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
        {"{\"weight_map\": {\"t\": \"../a.shard\"}}", "there is no such file beside it"},
        {"{\"weight_map\": {\"t\": \"/dev/zero\"}}", "there is no such file beside it"},
        {"{\"weight_map\": {\"t\": \"\"}}", "there is no such file beside it"},
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

/* The last thing that opening a model warned of. */
static char logged[1000];

static void keep_log(void *context, enum mr_log_level level, const char *line)
{
    (void)context;
    if (level == MR_LOG_WARNING)
        snprintf(logged, sizeof logged, "%s", line);
}

/* Opens the folder, which is fine but for a warning, or for none: "". */
static void opens_with(const char *folder, const char *warning)
{
    logged[0] = 0;
    mr_set_log(keep_log, NULL);
    int err = open_all(test_path(folder));
    mr_set_log(NULL, NULL);
    assert_ok(err);
    if (*warning ? !strstr(logged, warning) : logged[0] != 0)
        fail_msg("expected the warning \"%s\", got \"%s\"", warning, logged);
}

/* Three shards of two tensors each by those names, their index of `total` bytes naming all tensors but `without`. */
static void save_named(const char *folder, const char *const names[3], long long total, int without)
{
    struct content c = six();
    json_t *map = json_object();
    for (int i = 0; i < 3; i++)
        save(&c, 2 * (size_t)i, 2 * (size_t)i + 2, path_in(folder, names[i]), mr_safetensors_begin);
    for (int i = 0; i < 6; i++)
        if (i != without)
            json_object_set_new(map, c.list[i].name, json_string(names[i / 2]));
    for (int i = 0; total < 0 && i < 6; i++)
        total -= (long long)c.bytes[i];
    json_t *index = json_pack("{s{sI}so}", "metadata", "total_size", (json_int_t)(total < 0 ? -total - 1 : total),
                              "weight_map", map);
    char *content = json_dumps(index, 0);
    text(path_in(folder, "model.safetensors.index.json"), content);
    free(content);
    json_decref(index);
    content_release(&c);
}

#define SHARD(n, of) "model-0000" n "-of-0000" of ".safetensors"

static void test_shards_of_two_downloads_are_told(void **state)
{
    (void)state;
    const char *const good[] = {SHARD("1", "3"), SHARD("2", "3"), SHARD("3", "3")};
    const char *const mixed[] = {SHARD("1", "3"), SHARD("2", "2"), SHARD("3", "3")};
    const char *const lacking[] = {SHARD("1", "4"), SHARD("2", "4"), SHARD("3", "4")};
    const char *const other[] = {SHARD("1", "2"), SHARD("2", "2"), "more.safetensors"};
    save_named("good", good, -1, -1);
    opens_with("good", "");
    save_named("more", other, -1, -1);
    opens_with("more", "");
    save_named("mixed", mixed, -1, -1);
    assert_fails(MR_EFILE, "names " SHARD("1", "3") ", one of 3, and " SHARD("2", "2") ", one of 2",
                 open_all(test_path("mixed")));
    save_named("lacking", lacking, -1, -1);
    opens_with("lacking", "names 3 of the 4 shards");
    save_named("short", good, 100, -1);
    opens_with("short", "gives a total of 100 bytes, but its shards hold");
    save_named("unnamed", good, -1, 3);
    opens_with("unnamed", "does not name 1 tensors of its shards, as \"tensor.3\" in");
}

static void test_shards_that_say_or_were_noted_to_be_of_two_sets_are_told(void **state)
{
    (void)state;
    const char *const names[] = {SHARD("1", "3"), SHARD("2", "3"), SHARD("3", "3")};
    struct content c = {0};
    mr_tensor_writer *w;
    json_t *metadata = json_pack("{ss}", "format", "mlx");
    for (int i = 0; i < 2; i++)
        content_add(&c, MR_DTYPE_F32, 1, 3, 0, 0);
    save_named("sets", names, 0, -1);
    text(path_in("sets", "model.safetensors.index.json"),
         "{\"weight_map\": {\"tensor.0\": \"" SHARD("1", "3") "\", \"tensor.1\": \"" SHARD("2", "3") "\"}}");
    for (size_t i = 0; i < 2; i++) {
        assert_ok(mr_safetensors_begin(&w, path_in("sets", names[i]), c.list + i, 1, i ? metadata : NULL));
        assert_ok(mr_tensor_writer_append(w, c.data[i], c.bytes[i]));
        assert_ok(mr_tensor_writer_finish(w));
    }
    opens_with("sets", "differ in their \"format\"");

    save_named("noted", names, -1, -1);
    path_in("noted/.cache", "");
    path_in("noted/.cache/huggingface", "");
    for (int i = 0; i < 3; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s.metadata", names[i]);
        text(path_in("noted/.cache/huggingface/download", name), "0123456789abcdef\n1\n2\n");
    }
    opens_with("noted", "");
    text(path_in("noted/.cache/huggingface/download", SHARD("2", "3") ".metadata"), "fedcba9876543210\n1\n2\n");
    opens_with("noted", "was fetched at revision 0123456789ab, ");
    json_decref(metadata);
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
        cmocka_unit_test(test_shards_of_two_downloads_are_told),
        cmocka_unit_test(test_shards_that_say_or_were_noted_to_be_of_two_sets_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
