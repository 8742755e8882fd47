/* SPDX-License-Identifier: GPL-3.0-or-later
 * .mrw files come back bit for bit; what is cut short or altered is noticed. */
#include "content.h"

#include <zlib.h>

#include "base/alloc.h"
#include "io/chunk.h"
#include "io/mrw.h"

/* One tensor of each type, and shapes that are special. */
static struct content small_content(void)
{
    struct content c = {0};
    for (int dtype = 0; dtype < MR_DTYPES; dtype++)
        content_add(&c, (enum mr_dtype)dtype, 2, 3, dtype < MR_DTYPE_Q4_0 ? 7 : dtype < MR_DTYPE_Q2_K ? 64 : 512, 1);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    content_add(&c, MR_DTYPE_F32, 3, 5, 0, 2);
    content_add(&c, MR_DTYPE_BF16, 1, 1, 0, 0);
    return c;
}

static void save(const struct content *c, const char *path, const json_t *metadata, int level)
{
    mr_tensor_writer *w;
    assert_ok(mr_mrw_begin(&w, path, c->list, c->count, metadata, level));
    content_write(c, w);
}

static void expect(const struct content *c, const char *path)
{
    mr_tensor_file *file;
    assert_ok(mr_mrw_open(&file, path));
    content_expect(c, file);
}

static void test_every_type_and_level_comes_back(void **state)
{
    (void)state;
    struct content c = small_content();
    for (int level = 0; level <= 9; level += 3) {
        save(&c, test_path("a.mrw"), NULL, level);
        expect(&c, test_path("a.mrw"));
    }
    save(&c, test_path("a.mrw"), NULL, MR_MRW_LEVEL);
    expect(&c, test_path("a.mrw"));
    content_release(&c);
}

static void test_large_and_many_tensors_come_back(void **state)
{
    (void)state;
    struct content c = {0};
    content_add(&c, MR_DTYPE_F32, 2, 1501, 1999, 1);
    content_add(&c, MR_DTYPE_Q5_0, 2, 300, 32 * 1000, 1);
    content_add(&c, MR_DTYPE_F32, 1, 1 << 20, 1, 1);
    content_add(&c, MR_DTYPE_F16, 1, (2 << 20) + 1, 1, 1);
    for (int i = 0; i < 5000; i++)
        content_add(&c, MR_DTYPE_F32, 1, i % 5, 1, 1);
    content_add(&c, MR_DTYPE_F64, 1, 1000000, 1, 1);
    const char *path = test_path("b.mrw");
    save(&c, path, NULL, MR_MRW_LEVEL);
    expect(&c, path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    size_t all = 0;
    for (size_t i = 0; i < c.count; i++)
        all += c.bytes[i];
    assert_true((size_t)st.st_size < all); /* the last bytes took less room */
    content_release(&c);
}

static void test_what_the_disk_changed_is_noticed_before_it_has_the_name(void **state)
{
    (void)state;
    size_t n = 2 * mr_mrw_budget() / sizeof(float), chunk = MR_MRW_CHUNK / sizeof(float);
    struct mr_file_tensor t = {
        .name = (char[]){"t"}, .dtype = MR_DTYPE_F32, .ndim = 1, .shape = {(int64_t)n}, .shares = -1};
    float *piece = mr_alloc(chunk, sizeof *piece);
    for (int damaged = 0; damaged < 2; damaged++) {
        mr_tensor_writer *w;
        assert_ok(mr_mrw_begin(&w, test_path("v.mrw"), &t, 1, NULL, MR_MRW_LEVEL));
        mr_mrw_verify(w);
        for (size_t at = 0; at < n; at += chunk)
            assert_ok(mr_tensor_writer_append_f32(w, piece, n - at < chunk ? n - at : chunk));
        if (damaged) { /* the first chunks are in the file by now */
            FILE *file = fopen(test_path("v.mrw.tmp"), "r+b");
            assert_non_null(file);
            assert_int_equal(fseek(file, 2000, SEEK_SET), 0);
            int byte = fgetc(file);
            assert_int_not_equal(byte, EOF);
            fseek(file, 2000, SEEK_SET);
            fputc(byte ^ 4, file);
            fclose(file);
        }
        assert_int_equal(mr_tensor_writer_finish(w), damaged ? MR_EFILE : 0);
    }
    assert_non_null(strstr(mr_error_text(), "read back"));
    mr_tensor_file *file; /* the one before is whole */
    assert_ok(mr_mrw_open(&file, test_path("v.mrw")));
    assert_ok(mr_tensor_file_read_f32(file, 0, 0, chunk, piece));
    mr_tensor_file_close(file);
    free(piece);
}

static void test_reading_in_any_order(void **state)
{
    (void)state;
    struct content c = {0};
    content_add(&c, MR_DTYPE_F32, 1, 3000000, 1, 1);
    content_add(&c, MR_DTYPE_BF16, 1, 3000001, 1, 1);
    content_add(&c, MR_DTYPE_U8, 1, 100, 1, 1);
    save(&c, test_path("c.mrw"), NULL, MR_MRW_LEVEL);
    mr_tensor_file *file;
    assert_ok(mr_mrw_open(&file, test_path("c.mrw")));
    uint8_t *back = malloc(6000000);
    for (int round = 0; round < 60; round++) {
        size_t i = noise() % 3, from, n;
        from = ((size_t)noise() << 16 | (size_t)noise() << 8 | noise()) % c.bytes[i];
        n = ((size_t)noise() << 16 | noise()) % 6000000;
        n = n < c.bytes[i] - from ? n : c.bytes[i] - from;
        assert_ok(mr_tensor_file_read(file, i, from, n, back));
        assert_memory_equal(back, c.data[i] + from, n);
    }
    assert_fails(MR_EINVAL, "has 100 bytes", mr_tensor_file_read(file, 2, 50, 51, back));
    assert_fails(MR_EINVAL, "no tensor 3", mr_tensor_file_read(file, 3, 0, 1, back));
    free(back);
    mr_tensor_file_close(file);
    content_release(&c);
}

static void test_metadata_comes_back_as_it_was(void **state)
{
    (void)state;
    struct content c = {0};
    json_t *metadata = json_pack("{s:s, s:{s:i, s:f, s:b}, s:[s, n]}", "family", "microrwkv", "state", "iter", 12345,
                                 "loss", 1.0 / 3, "done", 0, "tokenizer", "caf\xc3\xa9 \"\n\xf0\x9f\x8e\x89");
    save(&c, test_path("d.mrw"), metadata, MR_MRW_LEVEL);
    mr_tensor_file *file;
    assert_ok(mr_mrw_open(&file, test_path("d.mrw")));
    assert_true(json_equal(file->metadata, metadata));
    mr_tensor_file_close(file);
    mr_tensor_writer *w;
    json_t *array = json_array();
    assert_fails(MR_EINVAL, "not a JSON object", mr_mrw_begin(&w, test_path("d.mrw"), NULL, 0, array, 1));
    json_decref(array);
    json_decref(metadata);
}

static void test_a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    struct content c = small_content();
    const char *path = test_path("e.mrw"), *cut = test_path("cut.mrw");
    save(&c, path, NULL, MR_MRW_LEVEL);
    struct mr_str whole = {0};
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    assert_ok(read_all(mr_mrw_open, path));
    for (size_t n = 0; n < whole.size; n += n < 40 || n > whole.size - 40 ? 1 : 13) {
        FILE *f = fopen(cut, "wb");
        fwrite(whole.text, 1, n, f);
        fclose(f);
        assert_fails(MR_EFILE, "cut short", read_all(mr_mrw_open, cut));
    }
    mr_str_free(&whole);
    content_release(&c);
}

static void test_a_file_altered_anywhere_is_refused(void **state)
{
    (void)state;
    struct content c = small_content();
    const char *path = test_path("f.mrw");
    save(&c, path, NULL, MR_MRW_LEVEL);
    struct mr_str whole = {0};
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t i = 0; i < whole.size; i++) {
        FILE *f = fopen(path, "r+b");
        fseek(f, (long)i, SEEK_SET);
        fputc(whole.text[i] ^ 1 << (i % 8), f);
        fclose(f);
        if (read_all(mr_mrw_open, path) != MR_EFILE || !strstr(mr_error_text(), path))
            fail_msg("byte %zu: %s", i, mr_error_text());
        f = fopen(path, "r+b");
        fseek(f, (long)i, SEEK_SET);
        fputc(whole.text[i], f);
        fclose(f);
    }
    assert_ok(read_all(mr_mrw_open, path));
    FILE *f = fopen(path, "ab");
    fputc('\n', f);
    fclose(f);
    assert_fails(MR_EFILE, "end mark", read_all(mr_mrw_open, path));
    mr_str_free(&whole);
    content_release(&c);
}

static void test_a_newer_format_says_so(void **state)
{
    (void)state;
    struct content c = {0};
    const char *path = test_path("g.mrw");
    save(&c, path, NULL, MR_MRW_LEVEL);
    FILE *f = fopen(path, "r+b");
    fseek(f, 8, SEEK_SET);
    fputc(2, f);
    fclose(f);
    assert_fails(MR_EFILE, "is of format 2, and this program reads format 1", read_all(mr_mrw_open, path));
    assert_ok(mr_file_write(path, "0123456789abcdef0123456789abcdef", 32));
    assert_fails(MR_EFILE, "is not a .mrw file", read_all(mr_mrw_open, path));
}

/* A file with this header and index, all checksums right. */
static void craft(const char *path, const char *header, const void *index, uint64_t chunks, size_t data)
{
    struct mr_str s = {0};
    uint32_t version = 1, size = (uint32_t)strlen(header), crc;
    mr_str_append(&s, MR_MRW_MAGIC, 8);
    mr_str_append(&s, &version, 4);
    mr_str_append(&s, &size, 4);
    mr_str_append(&s, header, size);
    crc = (uint32_t)crc32(0, (uint8_t *)s.text, (uInt)s.size);
    mr_str_append(&s, &crc, 4);
    for (size_t i = 0; i < data; i++)
        mr_str_append(&s, "", 1);
    size_t from = s.size;
    mr_str_append(&s, index, 8 * chunks);
    mr_str_append(&s, &chunks, 8);
    crc = (uint32_t)crc32(0, (uint8_t *)s.text + from, (uInt)(s.size - from));
    mr_str_append(&s, &crc, 4);
    mr_str_append(&s, "end\n", 4);
    assert_ok(mr_file_write(path, s.text, s.size));
    mr_str_free(&s);
}

static void test_hostile_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *part;
    } cases[] = {
        {"[]", "is missing"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[]}", "\"metadata\" is missing"},
        {"{\"chunk_bytes\":1,\"tensors\":[],\"metadata\":{}}", "\"chunk_bytes\" must be"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[1],\"metadata\":{}}", "\"name\" is missing"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"f31\",\"shape\":[]}],"
         "\"metadata\":{}}",
         "unknown type f31"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[-1]}],"
         "\"metadata\":{}}",
         "negative"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[4294967296,"
         "4294967296]}],"
         "\"metadata\":{}}",
         "overflows"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"q4_0\",\"shape\":[33]}],"
         "\"metadata\":{}}",
         "whole blocks"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"f32\",\"shape\":[1000000000000]}]"
         ","
         "\"metadata\":{}}",
         "entries where"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"u8\",\"shape\":[0]},"
         "{\"name\":\"a\",\"dtype\":\"u8\",\"shape\":[0]}],\"metadata\":{}}",
         "duplicate tensor name"},
        {"{\"chunk_bytes\":4194304,\"chunk_bytes\":4194304,\"tensors\":[],\"metadata\":{}}", "duplicate"},
        {"{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"\",\"dtype\":\"u8\",\"shape\":[0]}],\"metadata\":"
         "{}}",
         "not text"},
    };
    const char *path = test_path("h.mrw");
    for (size_t i = 0; i < COUNT(cases); i++) {
        craft(path, cases[i].header, "", 0, 0);
        assert_fails(MR_EFILE, cases[i].part, read_all(mr_mrw_open, path));
        if (!strstr(mr_error_text(), path))
            fail_msg("the file is not named: %s", mr_error_text());
    }
    const char *one = "{\"chunk_bytes\":4194304,\"tensors\":[{\"name\":\"a\",\"dtype\":\"u8\",\"shape\":[4]}]"
                      ",\"metadata\":{}}";
    uint32_t index[2] = {100, 0};
    craft(path, one, index, 1, 99);
    assert_fails(MR_EFILE, "does not fit", read_all(mr_mrw_open, path));
    index[0] = 98;
    craft(path, one, index, 1, 99);
    assert_fails(MR_EFILE, "1 bytes belong to no chunk", read_all(mr_mrw_open, path));
    index[0] = UINT32_MAX;
    craft(path, one, index, 1, 99);
    assert_fails(MR_EFILE, "does not fit", read_all(mr_mrw_open, path));
    index[0] = 99;
    uint8_t zeros[99] = {0};
    index[1] = (uint32_t)crc32(0, zeros, 99);
    craft(path, one, index, 1, 99);
    assert_fails(MR_EFILE, "tensor \"a\") is damaged", read_all(mr_mrw_open, path));
}

static void test_another_reader_agrees(void **state)
{
    (void)state;
    struct content c = small_content();
    content_add(&c, MR_DTYPE_F32, 2, 700, 2001, 1);
    json_t *metadata = json_pack("{s:s}", "family", "gpt2");
    const char *path = test_path("i.mrw");
    save(&c, path, metadata, MR_MRW_LEVEL);
    char command[2048], line[256], want[256];
    snprintf(command, sizeof command, "python3 %s %s", test_source("tests/golden/read_mrw.py"), path);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    if (!fgets(line, sizeof line, p))
        fail_msg("%s printed nothing", command);
    assert_string_equal(line, "{\"family\":\"gpt2\"}\n");
    for (size_t i = 0; i < c.count; i++) {
        const struct mr_file_tensor *t = &c.list[i];
        char shape[64] = "-";
        for (int k = 0, at = 0; k < t->ndim; k++)
            at += snprintf(shape + at, sizeof shape - (size_t)at, "%s%lld", k ? "x" : "", (long long)t->shape[k]);
        snprintf(want, sizeof want, "%s %s %s %08lx\n", t->name, mr_dtype_name(t->dtype), shape,
                 crc32(0, c.data[i], (uInt)c.bytes[i]));
        assert_non_null(fgets(line, sizeof line, p));
        assert_string_equal(line, want);
    }
    assert_int_equal(pclose(p), 0);
    json_decref(metadata);
    content_release(&c);
}

static void test_chunks_keep_their_bytes(void **state)
{
    (void)state;
    for (size_t width = 1; width <= 34; width++)
        for (size_t n = 1; n < 5000; n = n * 3 + 1) {
            size_t size = n * width, packed_size;
            uint8_t *raw = malloc(size + 1), *spare = malloc(size + 1), *back = malloc(size + 1);
            uint8_t *packed = malloc(mr_chunk_bound(size));
            for (size_t i = 0; i < size; i++)
                raw[i] = i % width ? noise() : (uint8_t)(i / 100);
            mr_shuffle(raw, spare, size, width);
            for (size_t i = 0; i < size; i++)
                assert_int_equal(spare[i % width * n + i / width], raw[i]);
            for (int level = 0; level <= 2; level++) {
                assert_ok(mr_chunk_pack(raw, spare, size, width, level, packed, &packed_size));
                assert_true(packed_size <= mr_chunk_bound(size));
                assert_ok(mr_chunk_unpack(packed, packed_size, spare, back, size, width));
                assert_memory_equal(raw, back, size);
                assert_fails(MR_EFILE, "do not unpack",
                             mr_chunk_unpack(packed, packed_size - 1, spare, back, size, width));
            }
            free(raw);
            free(spare);
            free(back);
            free(packed);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_and_level_comes_back),
        cmocka_unit_test(test_large_and_many_tensors_come_back),
        cmocka_unit_test(test_what_the_disk_changed_is_noticed_before_it_has_the_name),
        cmocka_unit_test(test_reading_in_any_order),
        cmocka_unit_test(test_metadata_comes_back_as_it_was),
        cmocka_unit_test(test_a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(test_a_file_altered_anywhere_is_refused),
        cmocka_unit_test(test_a_newer_format_says_so),
        cmocka_unit_test(test_hostile_headers_are_refused),
        cmocka_unit_test(test_another_reader_agrees),
        cmocka_unit_test(test_chunks_keep_their_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
