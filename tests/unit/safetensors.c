/* SPDX-License-Identifier: GPL-3.0-or-later
 * safetensors: what is written comes back; what is wrong is named. */
#include "content.h"

#include "io/safetensors.h"

/* A file of a header (its size is added) and `bytes` bytes of data. */
static const char *craft(const char *header, size_t bytes)
{
    const char *path = test_path("crafted.safetensors");
    uint64_t size = strlen(header);
    FILE *f = fopen(path, "wb");
    fwrite(&size, 8, 1, f);
    fwrite(header, 1, size, f);
    for (size_t i = 0; i < bytes; i++)
        fputc((int)i, f);
    fclose(f);
    return path;
}

static void expect_refusal(const char *header, size_t bytes, const char *part)
{
    mr_tensor_file *file = NULL;
    const char *path = craft(header, bytes);
    assert_fails(MR_EFILE, part, mr_safetensors_open(&file, path));
    if (!strstr(mr_error_text(), path))
        fail_msg("the file is not named: %s", mr_error_text());
}

#define ENTRY(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" offsets "]}"

static void test_golden_file_is_read(void **state)
{
    (void)state;
    mr_tensor_file *file;
    assert_ok(mr_safetensors_open(&file, test_source("tests/golden/rwkv7-random.expected.safetensors")));
    int64_t tokens = mr_tensor_file_find(file, "tokens"), logits = mr_tensor_file_find(file, "logits");
    assert_true(tokens >= 0 && logits >= 0);
    assert_int_equal(mr_tensor_file_find(file, "token"), -1);
    const struct mr_file_tensor *t = &file->tensors[logits];
    assert_int_equal(t->ndim, 2);
    assert_int_equal(t->shape[0], file->tensors[tokens].shape[0]);
    int32_t ids[64];
    size_t n = (size_t)t->shape[0];
    assert_ok(mr_tensor_file_read_i32(file, (size_t)tokens, 0, n, ids));
    for (size_t i = 0; i < n; i++)
        assert_true(ids[i] >= 0 && ids[i] < t->shape[1]);
    float *values = malloc((size_t)t->shape[1] * 4), largest = 0;
    assert_ok(mr_tensor_file_read_f32(file, (size_t)logits, (uint64_t)t->shape[1], (size_t)t->shape[1], values));
    for (int64_t i = 0; i < t->shape[1]; i++)
        largest = values[i] > largest ? values[i] : largest;
    assert_true(largest > 0 && largest < 100);
    assert_fails(MR_EFILE, "where integers are needed", mr_tensor_file_read_i32(file, (size_t)logits, 0, 1, ids));
    free(values);
    mr_tensor_file_close(file);
}

static void test_every_type_comes_back(void **state)
{
    (void)state;
    const char *path = test_path("types.safetensors");
    struct mr_file_tensor list[MR_DTYPE_BOOL + 3];
    char names[COUNT(list)][16];
    for (size_t i = 0; i < COUNT(list); i++) {
        snprintf(names[i], sizeof names[i], "t%zu", i);
        list[i] = (struct mr_file_tensor){.name = names[i], .ndim = 2, .shape = {3, 5}, .shares = -1};
        list[i].dtype = i <= MR_DTYPE_BOOL ? (enum mr_dtype)i : MR_DTYPE_F32;
    }
    list[MR_DTYPE_BOOL + 1].ndim = 0;
    list[MR_DTYPE_BOOL + 2].shape[1] = 0;
    json_t *metadata = json_pack("{s:s, s:{s:i}}", "family", "gpt2", "config", "n_layer", 2);
    mr_tensor_writer *w;
    assert_ok(mr_safetensors_begin(&w, path, list, COUNT(list), metadata));
    float values[15];
    for (int i = 0; i < 15; i++)
        values[i] = (float)(i % 2);
    for (size_t i = 0; i < COUNT(list); i++) {
        size_t count, bytes;
        assert_ok(mr_file_tensor_size(&list[i], &count, &bytes));
        for (size_t at = 0; at < count; at += 4)
            assert_ok(mr_tensor_writer_append_f32(w, values + at, count - at < 4 ? count - at : 4));
    }
    assert_ok(mr_tensor_writer_finish(w));
    mr_tensor_file *file;
    assert_ok(mr_safetensors_open(&file, path));
    assert_int_equal(file->count, COUNT(list));
    for (size_t i = 0; i < file->count; i++) {
        float back[15] = {0};
        size_t count, bytes;
        assert_int_equal(mr_tensor_file_find(file, names[i]), i);
        assert_int_equal(file->tensors[i].dtype, list[i].dtype);
        assert_ok(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
        assert_ok(mr_tensor_file_read_f32(file, i, 0, count, back));
        assert_memory_equal(back, values, 4 * count);
    }
    assert_string_equal(json_string_value(json_object_get(file->metadata, "family")), "gpt2");
    assert_string_equal(json_string_value(json_object_get(file->metadata, "config")), "{\"n_layer\":2}");
    assert_string_equal(json_string_value(json_object_get(file->metadata, "format")), "pt");
    mr_tensor_file_close(file);
    json_decref(metadata);
}

static void test_numbers_come_back_bit_for_bit(void **state)
{
    (void)state;
    struct content c = {0};
    const char *path = test_path("bits.safetensors");
    mr_tensor_writer *w;
    mr_tensor_file *file;
    for (int dtype = 0; dtype <= MR_DTYPE_BOOL; dtype++)
        content_add(&c, (enum mr_dtype)dtype, 3, 3, 7, 11);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    content_add(&c, MR_DTYPE_F32, 3, 5, 0, 2);
    content_add(&c, MR_DTYPE_F32, 2, 1501, 1999, 0);
    assert_ok(mr_safetensors_begin(&w, path, c.list, c.count, NULL));
    content_write(&c, w);
    assert_ok(mr_safetensors_open(&file, path));
    content_expect(&c, file);
    content_release(&c);
}

static void test_digest_follows_names_not_places(void **state)
{
    (void)state;
    char one[33], other[33], third[33];
    mr_tensor_file *file;
    assert_ok(
        mr_safetensors_open(&file, craft("{" ENTRY("a", "U8", "2", "0,2") "," ENTRY("b", "U8", "2", "2,4") "}", 4)));
    assert_ok(mr_tensor_file_digest(file, one));
    mr_tensor_file_close(file);
    assert_ok(
        mr_safetensors_open(&file, craft("{" ENTRY("z", "U8", "2", "2,4") "," ENTRY("b", "U8", "2", "0,2") "}", 4)));
    assert_ok(mr_tensor_file_digest(file, other));
    mr_tensor_file_close(file);
    assert_ok(
        mr_safetensors_open(&file, craft("{" ENTRY("a", "U8", "2", "2,4") "," ENTRY("b", "U8", "2", "0,2") "}", 4)));
    assert_ok(mr_tensor_file_digest(file, third));
    mr_tensor_file_close(file);
    assert_string_equal(one, other);
    assert_string_not_equal(one, third);
    assert_int_equal(strlen(one), 32);
}

static void test_wrong_layouts_are_refused(void **state)
{
    (void)state;
    expect_refusal("{" ENTRY("a", "F32", "2", "0,8") "}", 7, "outside of the file");
    expect_refusal("{" ENTRY("a", "F32", "2", "0,8") "}", 9, "1 bytes at the end belong to no tensor");
    expect_refusal("{" ENTRY("a", "F32", "2", "1,9") "}", 9, "1 bytes before tensor");
    expect_refusal("{" ENTRY("a", "F32", "2", "0,4") "}", 4, "needs 8 bytes and has 4");
    expect_refusal("{" ENTRY("a", "F32", "2", "8,0") "}", 8, "outside of the file");
    expect_refusal("{" ENTRY("a", "F32", "2", "0,8") "," ENTRY("b", "F32", "2", "4,12") "}", 12, "overlap");
    expect_refusal("{" ENTRY("a", "F32", "2", "0,8") "," ENTRY("b", "F32", "2", "0,8") "}", 8, "overlap");
}

static void test_shapes_that_overflow_are_refused(void **state)
{
    (void)state;
    expect_refusal("{" ENTRY("a", "F32", "4294967296,4294967296,4", "0,8") "}", 8, "overflows");
    expect_refusal("{" ENTRY("a", "F32", "9223372036854775807", "0,8") "}", 8, "overflows");
    expect_refusal("{" ENTRY("a", "F32", "0,4294967296,4294967296,4", "0,0") "}", 0, "overflows");
    expect_refusal("{" ENTRY("a", "F32", "-2", "0,8") "}", 8, "whole numbers");
    expect_refusal("{" ENTRY("a", "F32", "1,1,1,1,1,1,1,1,2", "0,8") "}", 8, "dimensions");
    expect_refusal("{" ENTRY("a", "F32", "9223372036854775808", "0,8") "}", 8, "whole numbers");
}

static void test_wrong_headers_are_refused(void **state)
{
    (void)state;
    expect_refusal("{" ENTRY("a", "U8", "1", "0,1") "," ENTRY("a", "U8", "1", "1,2") "}", 2, "duplicate");
    expect_refusal("{" ENTRY("a", "F8_E4M3", "1", "0,1") "}", 1, "of type F8_E4M3");
    expect_refusal("[1]", 0, "not a JSON object");
    expect_refusal("{\"a\":1}", 0, "lacks its dtype");
    expect_refusal("{\"a\":{\"dtype\":\"U8\",\"shape\":[0.5],\"data_offsets\":[0,1]}}", 1, "whole numbers");
    expect_refusal("{\"__metadata__\":{\"x\":1}}", 0, "not a text");
    expect_refusal("{\"__metadata__\":7}", 0, "not an object");
    expect_refusal("{\"a\\u0000b\":{}}", 0, "JSON");
    expect_refusal("", 0, "JSON");
}

static void test_short_files_are_refused(void **state)
{
    (void)state;
    mr_tensor_file *file = NULL;
    const char *path = test_path("short.safetensors");
    assert_ok(mr_file_write(path, "1234567", 7));
    assert_fails(MR_EFILE, "cut short", mr_safetensors_open(&file, path));
    uint64_t size = 100;
    assert_ok(mr_file_write(path, &size, 8));
    assert_fails(MR_EFILE, "cut short", mr_safetensors_open(&file, path));
    size = UINT64_MAX;
    assert_ok(mr_file_write(path, &size, 8));
    assert_fails(MR_EFILE, "no safetensors file", mr_safetensors_open(&file, path));
}

static void test_incomplete_writing_leaves_nothing(void **state)
{
    (void)state;
    const char *path = test_path("incomplete.safetensors");
    struct mr_file_tensor list[] = {{.name = "a", .dtype = MR_DTYPE_F32, .ndim = 1, .shape = {4}, .shares = -1},
                                    {.name = "q", .dtype = MR_DTYPE_Q4_0, .ndim = 1, .shape = {32}, .shares = -1}};
    mr_tensor_writer *w;
    assert_ok(mr_safetensors_begin(&w, path, list, 1, NULL));
    assert_ok(mr_tensor_writer_append(w, "1234", 4));
    assert_fails(MR_EINVAL, "\"a\" are not complete", mr_tensor_writer_finish(w));
    assert_ok(mr_safetensors_begin(&w, path, list, 1, NULL));
    assert_fails(MR_EINVAL, "too many", mr_tensor_writer_append(w, "12345678901234567", 17));
    assert_fails(MR_EINVAL, "", mr_tensor_writer_finish(w));
    assert_fails(MR_EINVAL, "cannot hold q4_0", mr_safetensors_begin(&w, path, list, 2, NULL));
    list[1] = list[0];
    assert_fails(MR_EINVAL, "duplicate tensor name", mr_safetensors_begin(&w, path, list, 2, NULL));
    list[1].name = "b";
    list[1].shares = 0;
    assert_fails(MR_EINVAL, "cannot share", mr_safetensors_begin(&w, path, list, 2, NULL));
    assert_false(mr_is_file(path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_file_is_read),
        cmocka_unit_test(test_every_type_comes_back),
        cmocka_unit_test(test_numbers_come_back_bit_for_bit),
        cmocka_unit_test(test_digest_follows_names_not_places),
        cmocka_unit_test(test_wrong_layouts_are_refused),
        cmocka_unit_test(test_shapes_that_overflow_are_refused),
        cmocka_unit_test(test_wrong_headers_are_refused),
        cmocka_unit_test(test_short_files_are_refused),
        cmocka_unit_test(test_incomplete_writing_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
