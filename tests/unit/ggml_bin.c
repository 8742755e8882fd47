/* SPDX-License-Identifier: GPL-3.0-or-later
 * .bin files: bytes as described, back bit for bit; what is wrong is named. */
#include "content.h"

#include "io/ggml_bin.h"
#include "io/tensor_source.h"

static json_t *header(int version, const char *dtype)
{
    return json_pack("{s:i, s:i, s:i, s:i, s:s}", "version", version, "n_vocab", 256, "n_embd", 64, "n_layer", 3,
                     "data_type", dtype);
}

static void save(const struct content *c, const char *path, const json_t *metadata)
{
    mr_tensor_writer *w;
    assert_ok(mr_ggml_bin_begin(&w, path, c->list, c->count, metadata));
    content_write(c, w);
}

static struct content small_content(void)
{
    static const enum mr_dtype dtypes[] = {MR_DTYPE_F32,  MR_DTYPE_F16,  MR_DTYPE_Q4_0, MR_DTYPE_Q4_1,
                                           MR_DTYPE_Q5_0, MR_DTYPE_Q5_1, MR_DTYPE_Q8_0};
    struct content c = {0};
    for (size_t i = 0; i < COUNT(dtypes); i++)
        content_add(&c, dtypes[i], 2, 3, i < 2 ? 7 : 64, 1);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    content_add(&c, MR_DTYPE_Q5_1, 3, 2, 3, 32);
    content_add(&c, MR_DTYPE_F32, 3, 1, 1, 5);
    return c;
}

static void test_every_type_comes_back(void **state)
{
    (void)state;
    static const char *const types[] = {"f32", "f16", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0"};
    struct content c = small_content();
    for (size_t i = 0; i < COUNT(types); i++) {
        json_t *metadata = header(100 + (int)i % 2, types[i]);
        const char *path = test_path("types.bin");
        mr_tensor_file *file;
        save(&c, path, metadata);
        assert_ok(mr_ggml_bin_open(&file, path));
        assert_true(json_equal(file->metadata, metadata));
        content_expect(&c, file);
        json_decref(metadata);
    }
    content_release(&c);
}

/* A tensor "ab" of shape (3, 2) in f32, after the header. */
static const int32_t two_by_three[] = {0x67676d66, 101, 256, 64, 3, 0, 2, 2, 0, 2, 3};

static void test_bytes_are_as_described(void **state)
{
    (void)state;
    const char *path = test_path("plain.bin");
    const float numbers[] = {1, 2, 3, 4, 5, 6};
    struct mr_file_tensor t = {.name = (char[]){"ab"}, .ndim = 2, .shape = {3, 2}, .shares = -1};
    json_t *metadata = header(101, "f32");
    mr_tensor_writer *w;
    json_object_del(metadata, "version");
    assert_ok(mr_ggml_bin_begin(&w, path, &t, 1, metadata));
    assert_ok(mr_tensor_writer_append_f32(w, numbers, 6));
    assert_ok(mr_tensor_writer_finish(w));
    struct mr_str whole = {0}, want = {0};
    assert_ok(mr_str_append(&want, two_by_three, sizeof two_by_three));
    assert_ok(mr_str_append(&want, "ab", 2));
    assert_ok(mr_str_append(&want, numbers, sizeof numbers));
    assert_ok(mr_file_read(path, 1000, &whole));
    assert_int_equal(whole.size, want.size);
    assert_memory_equal(whole.text, want.text, want.size);
    mr_str_free(&whole);
    mr_str_free(&want);
    json_decref(metadata);
}

static void test_a_trained_file_is_written_again_as_it_was(void **state)
{
    (void)state;
    static const char *const names[] = {"4v0-660K-FP32", "4v0-660K-FP16", "4v0-660K-Q5_1", "5v1-730K-FP32",
                                        "6v0-3m-Q5_1"};
    const char *data = getenv("MICRORWKV_TEST_DATA");
    if (!data)
        skip();
    for (size_t k = 0; k < COUNT(names); k++) {
        char path[1024];
        mr_tensor_file *file;
        mr_tensor_writer *w;
        struct mr_str before = {0}, after = {0};
        snprintf(path, sizeof path, "%s/data/rwkv-tiny/tiny-rwkv-%s.bin", data, names[k]);
        assert_ok(mr_tensor_source_open(&file, path));
        assert_true(mr_tensor_file_find(file, "emb.weight") >= 0);
        assert_ok(mr_ggml_bin_begin(&w, test_path("again.bin"), file->tensors, file->count, file->metadata));
        for (size_t i = 0; i < file->count; i++)
            assert_ok(mr_tensor_writer_copy(w, file, i));
        assert_ok(mr_tensor_writer_finish(w));
        mr_tensor_file_close(file);
        assert_ok(mr_file_read(path, 1 << 26, &before));
        assert_ok(mr_file_read(test_path("again.bin"), 1 << 26, &after));
        assert_int_equal(before.size, after.size);
        assert_memory_equal(before.text, after.text, before.size);
        mr_str_free(&before);
        mr_str_free(&after);
    }
}

/* A file of this type cannot be told by the byte where safetensors files have their '{'. */
static void test_it_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *metadata = header(101, "f32");
    json_object_set_new(metadata, "n_vocab", json_integer('{'));
    const char *path = test_path("model.safetensors");
    mr_tensor_file *file;
    save(&c, path, metadata);
    assert_ok(mr_tensor_source_open(&file, path));
    content_expect(&c, file);
    json_decref(metadata);
    content_release(&c);
}

static void test_what_it_cannot_hold_is_not_written(void **state)
{
    (void)state;
    json_t *metadata = header(101, "f32");
    const char *path = test_path("never.bin");
    struct mr_file_tensor t = {.name = (char[]){"t"}, .ndim = 1, .shape = {4}, .shares = -1};
    mr_tensor_writer *w;
    t.dtype = MR_DTYPE_BF16;
    assert_fails(MR_EINVAL, "cannot hold bf16, which tensor \"t\" is", mr_ggml_bin_begin(&w, path, &t, 1, metadata));
    t = (struct mr_file_tensor){.name = t.name, .ndim = 2, .shape = {0, (int64_t)1 << 31}, .shares = -1};
    assert_fails(MR_EINVAL, "more than 32 bits", mr_ggml_bin_begin(&w, path, &t, 1, metadata));
    char name[2000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    t = (struct mr_file_tensor){.name = name, .ndim = 0, .shares = -1};
    assert_fails(MR_EINVAL, "longer than 1024", mr_ggml_bin_begin(&w, path, &t, 1, metadata));
    json_object_set_new(metadata, "data_type", json_string("bf16"));
    assert_fails(MR_EINVAL, "cannot hold bf16", mr_ggml_bin_begin(&w, path, NULL, 0, metadata));
    json_object_set_new(metadata, "version", json_integer(99));
    assert_fails(MR_EINVAL, "version", mr_ggml_bin_begin(&w, path, NULL, 0, metadata));
    json_object_clear(metadata);
    assert_fails(MR_EINVAL, "n_vocab", mr_ggml_bin_begin(&w, path, NULL, 0, metadata));
    assert_fails(MR_EINVAL, "n_vocab", mr_ggml_bin_begin(&w, path, NULL, 0, NULL));
    assert_false(mr_is_file(path));
    json_decref(metadata);
}

/* A cut between two tensors leaves a shorter file that is whole; the format has no count. */
static void test_a_file_cut_short_is_refused(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *metadata = header(101, "f32");
    const char *path = test_path("whole.bin"), *cut = test_path("cut.bin");
    struct mr_str whole = {0};
    save(&c, path, metadata);
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    size_t tensor = 0, boundary = 24;
    for (size_t n = 0; n < whole.size; n++) {
        overwrite(cut, whole.text, n);
        if (n == boundary) {
            assert_ok(read_all(mr_ggml_bin_open, cut));
            boundary += 12 + 4 * (size_t)c.list[tensor].ndim + strlen(c.list[tensor].name) + c.bytes[tensor];
            tensor++;
            continue;
        }
        assert_fails(MR_EFILE, "cut short", read_all(mr_ggml_bin_open, cut));
        assert_non_null(strstr(mr_error_text(), cut));
    }
    assert_int_equal(tensor, c.count);
    mr_str_free(&whole);
    json_decref(metadata);
    content_release(&c);
}

static void test_an_altered_byte_is_survived(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *metadata = header(101, "f32");
    const char *path = test_path("altered.bin");
    struct mr_str whole = {0};
    save(&c, path, metadata);
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t i = 0; i < whole.size; i++) {
        whole.text[i] ^= (char)(1 << i % 8);
        overwrite(path, whole.text, whole.size);
        int err = read_all(mr_ggml_bin_open, path);
        if (err && (err != MR_EFILE || !strstr(mr_error_text(), path)))
            fail_msg("byte %zu: error %d: %s", i, err, mr_error_text());
        whole.text[i] ^= (char)(1 << i % 8);
    }
    mr_str_free(&whole);
    json_decref(metadata);
    content_release(&c);
}

static void test_hostile_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        int at;
        int32_t value;
        const char *part;
    } cases[] = {
        {0, 0x67676d65, "magic number"},
        {1, 102, "version 102"},
        {1, 99, "version 99"},
        {2, -1, "n_vocab is -1"},
        {3, 0, "n_embd is 0"},
        {5, 4, "data type 4"},
        {5, -1, "data type -1"},
        {6, -1, "no tensor at byte 24: -1 dimensions"},
        {6, 9, "no tensor at byte 24: 9 dimensions"},
        {6, 8, "its shape overflows"},
        {7, 0, "a name of 0 bytes"},
        {7, INT32_MAX, "a name of 2147483647 bytes"},
        {7, 30, "cut short"},
        {8, 10, "data type 10"},
        {8, INT32_MIN, "data type -2147483648"},
        {8, 2, "not whole blocks"},
        {9, -2, "negative dimension"},
        {9, INT32_MAX, "cut short"},
    };
    const char *path = test_path("hostile.bin");
    struct {
        int32_t head[COUNT(two_by_three)];
        char rest[26];
    } file;
    size_t size = sizeof two_by_three + 26;
    for (size_t i = 0; i < COUNT(cases); i++) {
        memcpy(file.head, two_by_three, sizeof two_by_three);
        memset(file.rest, 'a', sizeof file.rest);
        file.head[cases[i].at] = cases[i].value;
        assert_ok(mr_file_write(path, &file, size));
        assert_fails(MR_EFILE, cases[i].part, read_all(mr_ggml_bin_open, path));
        assert_non_null(strstr(mr_error_text(), path));
    }
    const int32_t huge[] = {0x67676d66, 101, 256, 64, 3, 0, 3, 1, 0, INT32_MAX, INT32_MAX, INT32_MAX, 'a'};
    assert_ok(mr_file_write(path, huge, sizeof huge - 3));
    assert_fails(MR_EFILE, "its shape overflows", read_all(mr_ggml_bin_open, path));
    const int32_t twice[] = {0x67676d66, 101, 256, 64, 3, 0, 0, 4, 0, 0x61616161, 1, 0, 4, 0, 0x61616161, 1};
    assert_ok(mr_file_write(path, twice, sizeof twice));
    assert_fails(MR_EFILE, "duplicate tensor name \"aaaa\"", read_all(mr_ggml_bin_open, path));
    assert_non_null(strstr(mr_error_text(), "byte 44"));
    const int32_t not_text[] = {0x67676d66, 101, 256, 64, 3, 0, 0, 4, 0, -1, 1};
    assert_ok(mr_file_write(path, not_text, sizeof not_text));
    assert_fails(MR_EFILE, "is not text", read_all(mr_ggml_bin_open, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_comes_back),
        cmocka_unit_test(test_bytes_are_as_described),
        cmocka_unit_test(test_a_trained_file_is_written_again_as_it_was),
        cmocka_unit_test(test_it_is_told_by_its_first_bytes),
        cmocka_unit_test(test_what_it_cannot_hold_is_not_written),
        cmocka_unit_test(test_a_file_cut_short_is_refused),
        cmocka_unit_test(test_an_altered_byte_is_survived),
        cmocka_unit_test(test_hostile_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
