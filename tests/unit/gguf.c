/* SPDX-License-Identifier: GPL-3.0-or-later
 * GGUF files: tensors and keys come back, those of another writer too; what is wrong is named. */
#include "content.h"

#include <math.h>

#include "io/gguf.h"
#include "io/tensor_source.h"

static const enum mr_dtype dtypes[] = {MR_DTYPE_F32,  MR_DTYPE_F16,  MR_DTYPE_BF16, MR_DTYPE_F64,
                                       MR_DTYPE_I32,  MR_DTYPE_Q4_0, MR_DTYPE_Q4_1, MR_DTYPE_Q5_0,
                                       MR_DTYPE_Q5_1, MR_DTYPE_Q8_0, MR_DTYPE_Q2_K, MR_DTYPE_Q3_K,
                                       MR_DTYPE_Q4_K, MR_DTYPE_Q5_K, MR_DTYPE_Q6_K, MR_DTYPE_Q8_K};

static struct content small_content(void)
{
    struct content c = {0};
    for (size_t i = 0; i < COUNT(dtypes); i++)
        content_add(&c, dtypes[i], 2, 3, mr_dtype_block(dtypes[i]) == 1 ? 7 : 256, 1);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    content_add(&c, MR_DTYPE_F16, 3, 1, 1, 5);
    content_add(&c, MR_DTYPE_F32, 2, 0, 4, 1);
    content_add(&c, MR_DTYPE_F32, 1, 9, 1, 1);
    return c;
}

static void save(const struct content *c, const char *path, const json_t *metadata)
{
    mr_tensor_writer *w;
    assert_ok(mr_gguf_begin(&w, path, c->list, c->count, metadata));
    content_write(c, w);
}

static json_t *some_keys(void)
{
    return json_pack("{ss si sI sf sb s[ss] s[ii] s[] ss}", "general.architecture", "test", "a.count", 70000, "a.large",
                     (json_int_t)1 << 40, "a.half", 0.5, "a.flag", 1, "a.texts", "\xc3\xa9", "", "a.numbers", -1, 2,
                     "a.none", "a.empty", "");
}

static void test_tensors_and_keys_come_back(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *keys = some_keys();
    mr_tensor_file *file;
    const char *path = test_path("a.gguf");
    save(&c, path, keys);
    assert_ok(mr_tensor_source_open(&file, path));
    assert_string_equal(file->format->name, "gguf");
    assert_true(json_equal(file->metadata, keys));
    content_expect(&c, file);
    json_decref(keys);
    content_release(&c);
}

/* As a reader of the published description would lay it out by hand. */
static void test_bytes_are_as_described(void **state)
{
    (void)state;
    static const char want[] = "GGUF\3\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
                               "\1\0\0\0\0\0\0\0k\4\0\0\0\7\0\0\0"
                               "\2\0\0\0\0\0\0\0ab\2\0\0\0\2\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                               "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const float numbers[] = {1, 2, 3, 4, 5, 6};
    struct mr_file_tensor t = {.name = (char[]){"ab"}, .ndim = 2, .shape = {3, 2}, .shares = -1};
    json_t *keys = json_pack("{si}", "k", 7);
    struct mr_str whole = {0};
    mr_tensor_writer *w;
    const char *path = test_path("plain.gguf");
    assert_ok(mr_gguf_begin(&w, path, &t, 1, keys));
    assert_ok(mr_tensor_writer_append_f32(w, numbers, 6));
    assert_ok(mr_tensor_writer_finish(w));
    assert_ok(mr_file_read(path, 1000, &whole));
    assert_int_equal(whole.size, 96 + 32);
    assert_memory_equal(whole.text, want, 96);
    assert_memory_equal(whole.text + 96, numbers, sizeof numbers);
    mr_str_free(&whole);
    json_decref(keys);
}

static mr_tensor_file *foreign(void)
{
    mr_tensor_file *file;
    assert_ok(mr_tensor_source_open(&file, test_source("tests/golden/types.gguf")));
    return file;
}

static void test_every_type_is_read_as_gguf_reads_it(void **state)
{
    (void)state;
    mr_tensor_file *file = foreign();
    int checked = 0;
    for (size_t i = 0; i < file->count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.want", file->tensors[i].name);
        int64_t at = mr_tensor_file_find(file, name);
        if (at < 0)
            continue;
        float have[512], want[512];
        size_t count, bytes;
        assert_ok(mr_file_tensor_size(&file->tensors[i], &count, &bytes));
        assert_true(count <= 512);
        assert_ok(mr_tensor_file_read_f32(file, i, 0, count, have));
        assert_ok(mr_tensor_file_read_f32(file, (size_t)at, 0, count, want));
        for (size_t k = 0; k < count; k++)
            if (have[k] != want[k])
                fail_msg("%s: number %zu is %g, not %g", file->tensors[i].name, k, (double)have[k], (double)want[k]);
        checked++;
    }
    assert_int_equal(checked, 13);
    mr_tensor_file_close(file);
}

/* gguf's own q8_K cannot be dequantised, so this one is laid out by hand. */
static void test_q8_k_is_a_scale_and_bytes(void **state)
{
    (void)state;
    uint8_t block[292] = {0};
    float d = 0.25f, x[256];
    memcpy(block, &d, 4);
    for (int i = 0; i < 256; i++)
        block[4 + i] = (uint8_t)(i - 128);
    mr_to_f32(MR_DTYPE_Q8_K, block, x, 256);
    for (int i = 0; i < 256; i++)
        assert_true(x[i] == 0.25f * (float)(i - 128));
}

static void test_keys_of_every_type_are_read(void **state)
{
    (void)state;
    mr_tensor_file *file = foreign();
    json_t *want =
        json_pack("{ss si si si si sI si sf sI sI sf sb ss s[sss] s[iii] sn}", "general.architecture", "test",
                  "test.uint8", 200, "test.int8", -3, "test.uint16", 60000, "test.int16", -300, "test.uint32",
                  (json_int_t)4000000000, "test.int32", -70000, "test.float32", 0.5, "test.uint64", (json_int_t)1 << 40,
                  "test.int64", -((json_int_t)1 << 40), "test.float64", 0.1, "test.bool", 1, "test.string",
                  "\xc3\xa9 text", "test.texts", "a", "", "\xe4\xb8\xad", "test.numbers", 1, -2, 3, "test.long");
    const char *key;
    json_t *value;
    json_object_foreach(want, key, value)
        if (!json_equal(json_object_get(file->metadata, key), value))
            fail_msg("the key %s is read as another value", key);
    json_decref(want);
    mr_tensor_file_close(file);
}

/* In pieces that cut blocks and their scales. */
static void test_shifted_numbers_are_multiplied_whatever_is_read_of_them(void **state)
{
    (void)state;
    mr_tensor_file *file = foreign(), *plain = foreign();
    for (size_t i = 0; i < file->count; i++) {
        float have[512], want[512];
        uint8_t bytes[2048], pieces[2048];
        size_t count, size;
        assert_ok(mr_file_tensor_size(&file->tensors[i], &count, &size));
        assert_ok(mr_gguf_shift(file, i, 3));
        assert_ok(mr_tensor_file_read_f32(file, i, 0, count, have));
        assert_ok(mr_tensor_file_read_f32(plain, i, 0, count, want));
        for (size_t k = 0; k < count; k++)
            assert_true(fabsf(have[k] - 8 * want[k]) <= 1e-6f * fabsf(have[k]));
        assert_ok(mr_tensor_file_read(file, i, 0, size, bytes));
        for (size_t at = 0, n = 1; at < size; at += n, n = n % 7 + 1) {
            n = n < size - at ? n : size - at;
            assert_ok(mr_tensor_file_read(file, i, at, n, pieces + at));
        }
        assert_memory_equal(bytes, pieces, size);
    }
    mr_tensor_file_close(file);
    mr_tensor_file_close(plain);
}

static void test_what_it_cannot_hold_is_not_written(void **state)
{
    (void)state;
    const char *path = test_path("never.gguf");
    struct mr_file_tensor t = {.name = (char[]){"t"}, .dtype = MR_DTYPE_BOOL, .ndim = 1, .shape = {4}, .shares = -1};
    json_t *keys = json_object();
    mr_tensor_writer *w;
    assert_fails(MR_EINVAL, "cannot hold bool, which tensor \"t\" is", mr_gguf_begin(&w, path, &t, 1, keys));
    t = (struct mr_file_tensor){.name = t.name, .ndim = 5, .shape = {1, 1, 1, 1, 1}, .shares = -1};
    assert_fails(MR_EINVAL, "more than 4 dimensions", mr_gguf_begin(&w, path, &t, 1, keys));
    char name[65];
    memset(name, 'n', 64);
    name[64] = 0;
    t = (struct mr_file_tensor){.name = name, .ndim = 1, .shape = {1}, .shares = -1};
    assert_fails(MR_EINVAL, "its name is too long", mr_gguf_begin(&w, path, &t, 1, keys));
    json_object_set_new(keys, "mixed", json_pack("[is]", 1, "a"));
    assert_fails(MR_EINVAL, "the list mixed", mr_gguf_begin(&w, path, NULL, 0, keys));
    json_object_clear(keys);
    json_object_set_new(keys, "object", json_object());
    assert_fails(MR_EINVAL, "the key object", mr_gguf_begin(&w, path, NULL, 0, keys));
    assert_false(mr_is_file(path));
    json_decref(keys);
    float x = 1;
    t = (struct mr_file_tensor){.name = name + 60, .dtype = MR_DTYPE_Q4_K, .ndim = 1, .shape = {256}, .shares = -1};
    assert_ok(mr_gguf_begin(&w, path, &t, 1, NULL));
    float many[256] = {x};
    assert_fails(MR_EINVAL, "floats cannot become q4_k", mr_tensor_writer_append_f32(w, many, 256));
    mr_tensor_writer_abort(w);
}

static void test_versions_and_byte_orders(void **state)
{
    (void)state;
    struct content c = {0};
    struct mr_str whole = {0};
    mr_tensor_file *file;
    const char *path = test_path("version.gguf");
    content_add(&c, MR_DTYPE_F32, 1, 5, 1, 1);
    save(&c, path, NULL);
    assert_ok(mr_file_read(path, 1000, &whole));
    whole.text[4] = 2;
    assert_ok(mr_gguf_open(&file, overwrite(path, whole.text, whole.size)));
    content_expect(&c, file);
    whole.text[4] = 1;
    assert_fails(MR_EFILE, "version 1 of GGUF; 2 and 3 are known",
                 mr_gguf_open(&file, overwrite(path, whole.text, whole.size)));
    memcpy(whole.text + 4, "\0\0\0\3", 4);
    assert_fails(MR_EFILE, "big-endian", mr_gguf_open(&file, overwrite(path, whole.text, whole.size)));
    mr_str_free(&whole);
    content_release(&c);
}

static void append(struct mr_str *to, const void *bytes, size_t size)
{
    assert_ok(mr_str_append(to, bytes, size));
}

static void number(struct mr_str *to, uint64_t value, size_t size)
{
    append(to, &value, size);
}

static void text(struct mr_str *to, const char *bytes)
{
    number(to, strlen(bytes), 8);
    append(to, bytes, strlen(bytes));
}

/* A file with one key "k", whose type and value follow from `value`, and one tensor; NULL: no key. */
static const char *made(const struct mr_str *value, uint32_t ndim, int64_t dim, int32_t type, uint64_t offset)
{
    struct mr_str out = {0};
    append(&out, "GGUF\3\0\0\0", 8);
    number(&out, 1, 8);
    number(&out, value ? 1 : 0, 8);
    if (value) {
        text(&out, "k");
        append(&out, value->text, value->size);
    }
    text(&out, "t");
    number(&out, ndim, 4);
    for (uint32_t i = 0; i < ndim; i++)
        number(&out, i ? 1 : (uint64_t)dim, 8);
    number(&out, (uint64_t)type, 4);
    number(&out, offset, 8);
    char zeros[512] = {0};
    append(&out, zeros, 512 - out.size);
    const char *path = overwrite(test_path("made.gguf"), out.text, out.size);
    mr_str_free(&out);
    return path;
}

static void expect_key(const char *part, int type, uint64_t a, uint64_t b, size_t size)
{
    struct mr_str value = {0};
    mr_tensor_file *file;
    number(&value, (uint64_t)type, 4);
    number(&value, a, type == 9 ? 4 : 8);
    if (size)
        number(&value, b, size);
    assert_fails(MR_EFILE, part, mr_gguf_open(&file, made(&value, 1, 1, 0, 0)));
    mr_str_free(&value);
}

static void test_hostile_counts_are_refused_before_memory_is_taken(void **state)
{
    (void)state;
    mr_tensor_file *file;
    assert_ok(read_all(mr_gguf_open, made(NULL, 1, 1, 0, 0)));
    assert_fails(MR_EFILE, "5 dimensions", mr_gguf_open(&file, made(NULL, 5, 1, 0, 0)));
    assert_fails(MR_EFILE, "negative", mr_gguf_open(&file, made(NULL, 1, -1, 0, 0)));
    assert_fails(MR_EFILE, "overflows", mr_gguf_open(&file, made(NULL, 1, INT64_MAX, 0, 0)));
    assert_fails(MR_EFILE, "goes beyond its end", mr_gguf_open(&file, made(NULL, 1, 1000, 0, 0)));
    assert_fails(MR_EFILE, "goes beyond its end", mr_gguf_open(&file, made(NULL, 1, 1, 0, UINT64_MAX - 31)));
    assert_fails(MR_EFILE, "no multiple of 32", mr_gguf_open(&file, made(NULL, 1, 1, 0, 8)));
    assert_fails(MR_EFILE, "of type iq4_nl, which is not read", mr_gguf_open(&file, made(NULL, 1, 32, 20, 0)));
    assert_fails(MR_EFILE, "of type unknown", mr_gguf_open(&file, made(NULL, 1, 32, -1, 0)));
    assert_fails(MR_EFILE, "whole blocks", mr_gguf_open(&file, made(NULL, 1, 31, 8, 0)));
    expect_key("a text", 8, (uint64_t)1 << 62, 0, 0);
    expect_key("an array", 9, 4, UINT64_MAX / 4, 8);
    expect_key("an array", 9, 8, (uint64_t)1 << 60, 8);
    expect_key("an array of type 9", 9, 9, 1, 8);
    expect_key("of type 13", 13, 0, 0, 0);
    char head[24] = "GGUF\3";
    for (int at = 8; at < 24; at += 8) {
        memset(head + 8, 0, 16);
        head[at + 6] = 1;
        assert_fails(MR_EFILE, "it would have", mr_gguf_open(&file, overwrite(test_path("n.gguf"), head, 24)));
    }
}

static void test_alignment_is_a_power_of_two(void **state)
{
    (void)state;
    struct content c = {0};
    content_add(&c, MR_DTYPE_F32, 1, 5, 1, 1);
    for (int alignment = 1; alignment <= 96; alignment += 5) { /* 16 is among them, and fits what is written */
        json_t *keys = json_pack("{si}", "general.alignment", alignment);
        mr_tensor_file *file;
        const char *path = test_path("aligned.gguf");
        save(&c, path, keys);
        if (alignment == 16)
            assert_ok(read_all(mr_gguf_open, path));
        else
            assert_fails(MR_EFILE, "general.alignment", mr_gguf_open(&file, path));
        json_decref(keys);
    }
    content_release(&c);
}

static void test_a_file_cut_short_is_refused(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *keys = some_keys();
    const char *path = test_path("whole.gguf"), *cut = test_path("cut.gguf");
    struct mr_str whole = {0};
    save(&c, path, keys);
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t n = 0; n < whole.size - 28;
         n += n < 1600 ? 3 : 61) { /* behind the last nine floats are 28 bytes of nothing */
        overwrite(cut, whole.text, n);
        assert_fails(MR_EFILE, "cut short", read_all(mr_gguf_open, cut));
        assert_non_null(strstr(mr_error_text(), cut));
    }
    assert_ok(read_all(mr_gguf_open, overwrite(cut, whole.text, whole.size - 28)));
    mr_str_free(&whole);
    json_decref(keys);
    content_release(&c);
}

static void test_an_altered_byte_is_survived(void **state)
{
    (void)state;
    struct content c = small_content();
    json_t *keys = some_keys();
    const char *path = test_path("altered.gguf");
    struct mr_str whole = {0};
    save(&c, path, keys);
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t i = 0; i < 1600; i += 1 + i % 3) {
        whole.text[i] ^= (char)(1 << i % 8);
        overwrite(path, whole.text, whole.size);
        int err = read_all(mr_gguf_open, path);
        if (err && (err != MR_EFILE || !*mr_error_text()))
            fail_msg("byte %zu: error %d: %s", i, err, mr_error_text());
        whole.text[i] ^= (char)(1 << i % 8);
    }
    mr_str_free(&whole);
    json_decref(keys);
    content_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_and_keys_come_back),
        cmocka_unit_test(test_bytes_are_as_described),
        cmocka_unit_test(test_every_type_is_read_as_gguf_reads_it),
        cmocka_unit_test(test_q8_k_is_a_scale_and_bytes),
        cmocka_unit_test(test_keys_of_every_type_are_read),
        cmocka_unit_test(test_shifted_numbers_are_multiplied_whatever_is_read_of_them),
        cmocka_unit_test(test_what_it_cannot_hold_is_not_written),
        cmocka_unit_test(test_versions_and_byte_orders),
        cmocka_unit_test(test_hostile_counts_are_refused_before_memory_is_taken),
        cmocka_unit_test(test_alignment_is_a_power_of_two),
        cmocka_unit_test(test_a_file_cut_short_is_refused),
        cmocka_unit_test(test_an_altered_byte_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
