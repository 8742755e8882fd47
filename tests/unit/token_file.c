/* SPDX-License-Identifier: GPL-3.0-or-later
 * Prepared data: what is written comes back, nanoGPT's folders are read, damage is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/chars.h"
#include "data/token_file.h"

static char folder[64], inside[80];

static int fresh(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/token_file_XXXXXX");
    snprintf(inside, sizeof inside, "%s/a/b", mkdtemp(folder));
    return 0;
}

static int drop(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", inside, name);
    return path;
}

/* 5000 tokens for train, 3 for val, of the tokenizer "byte". */
static void write_bytes_data(void)
{
    mr_tokenizer *t;
    mr_token_writer *w;
    uint32_t ids[5000];
    for (uint32_t i = 0; i < 5000; i++)
        ids[i] = i % 251;
    assert_int_equal(mr_tokenizer_open(&t, "byte"), 0);
    assert_int_equal(mr_token_writer_open(&w, inside, t), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_TRAIN, ids, 5000, 5000), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_VAL, ids + 7, 2, 2), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_VAL, ids + 9, 1, 1), 0);
    assert_int_equal(mr_token_writer_count(w, MR_SPLIT_VAL), 3);
    assert_int_equal(mr_token_writer_commit(w), 0);
    mr_tokenizer_close(t);
}

static void test_what_is_written_comes_back(void **state)
{
    (void)state;
    mr_token_data *d;
    int32_t tokens[5000];
    write_bytes_data();
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_TRAIN), 5000);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_VAL), 3);
    assert_int_equal(mr_token_data_bytes(d, MR_SPLIT_VAL), 3);
    assert_int_equal(mr_token_data_vocab_size(d), 256);
    assert_string_equal(
        json_string_value(json_object_get(mr_stored_tokenizer_json(mr_token_data_tokenizer(d)), "kind")), "byte");
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 1, 4999, tokens), 0);
    for (int i = 0; i < 4999; i++)
        assert_int_equal(tokens[i], (i + 1) % 251);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_VAL, 0, 3, tokens), 0);
    assert_int_equal(tokens[2], 9);
    mr_token_data_close(d);
}

static void test_more_than_there_is(void **state)
{
    (void)state;
    mr_token_data *d;
    int32_t tokens[8];
    write_bytes_data();
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_VAL, 1, 3, tokens), MR_EFILE);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_VAL, UINT64_MAX, 1, tokens), MR_EFILE);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_VAL, 3, 0, tokens), 0);
    mr_token_data_close(d);
}

static void test_large_vocabularies_take_four_bytes(void **state)
{
    (void)state;
    struct mr_char_set *set = calloc(1, sizeof *set);
    mr_tokenizer *t;
    mr_token_writer *w;
    mr_token_data *d;
    uint32_t ids[2] = {70000, 3};
    int32_t tokens[2];
    memset(set->seen, 0xFF, 70016 / 8);
    assert_int_equal(mr_tokenizer_from_chars(&t, set), 0);
    assert_int_equal(mr_token_writer_open(&w, inside, t), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_TRAIN, ids, 2, 5), 0);
    assert_int_equal(mr_token_writer_commit(w), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 2, tokens), 0);
    assert_int_equal(tokens[0], 70000);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_VAL), 0);
    mr_token_data_close(d);
    mr_tokenizer_close(t);
    free(set);
}

static void test_nanogpts_folder(void **state)
{
    (void)state;
    mr_token_data *d;
    int32_t tokens[3];
    write_bytes_data();
    unlink(path_of("meta.json"));
    assert_int_equal(mr_file_write(path_of("train.bin"), "\x50\xC4\x00\x00\x01\x00", 6), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_vocab_size(d), 0);
    assert_int_equal(mr_token_data_bytes(d, MR_SPLIT_TRAIN), 0);
    assert_null(mr_token_data_tokenizer(d));
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 3, tokens), 0);
    assert_int_equal(tokens[0], 50256);
    mr_token_data_limit(d, 50256);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 3, tokens), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "token 0 is 50256, outside the vocabulary of 50256"));
    mr_token_data_close(d);
}

/* As if `prepare` had been killed between two of its renames. */
static void test_files_of_two_preparations_are_refused(void **state)
{
    (void)state;
    mr_token_data *d;
    static char other[10000];
    for (int split = 0; split < MR_SPLITS; split++) {
        write_bytes_data();
        const char *path = path_of(split == MR_SPLIT_TRAIN ? "train.bin" : "val.bin");
        assert_int_equal(mr_file_write(path, other, split == MR_SPLIT_TRAIN ? 10000 : 6), 0);
        assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
        assert_non_null(strstr(mr_error_text(), "is not the file that meta.json"));
        assert_non_null(strstr(mr_error_text(), split == MR_SPLIT_TRAIN ? "train.bin" : "val.bin"));
    }
}

/* Larger files are looked at here and there. */
static void test_large_files_of_two_preparations_are_refused(void **state)
{
    (void)state;
    enum { COUNT = 3000000 };
    mr_tokenizer *t;
    mr_token_writer *w;
    mr_token_data *d;
    uint32_t *ids = calloc(COUNT, sizeof *ids);
    uint16_t *other = calloc(COUNT, sizeof *other);
    for (int i = 0; i < COUNT; i++)
        ids[i] = (uint32_t)i % 251, other[i] = (uint16_t)(i % 249);
    assert_int_equal(mr_tokenizer_open(&t, "byte"), 0);
    assert_int_equal(mr_token_writer_open(&w, inside, t), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_TRAIN, ids, COUNT, COUNT), 0);
    assert_int_equal(mr_token_writer_commit(w), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    mr_token_data_close(d);
    assert_int_equal(mr_file_write(path_of("train.bin"), other, COUNT * sizeof *other), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    mr_tokenizer_close(t);
    free(ids);
    free(other);
}

static void test_data_without_digests_is_read(void **state)
{
    (void)state;
    mr_token_data *d;
    json_t *meta;
    write_bytes_data();
    assert_int_equal(mr_json_load(&meta, path_of("meta.json")), 0);
    json_object_del(json_object_get(meta, "train"), "digest");
    json_object_del(json_object_get(meta, "val"), "digest");
    assert_int_equal(mr_json_save(meta, path_of("meta.json")), 0);
    json_decref(meta);
    assert_int_equal(mr_file_write(path_of("val.bin"), "\x01\x00\x02\x00\x01\x00", 6), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    mr_token_data_close(d);
}

static void test_files_of_llm_c(void **state)
{
    (void)state;
    mr_token_data *d;
    int32_t header[256] = {20240520, 1, 3}, tokens[3];
    char file[1024 + 12] = "";
    write_bytes_data();
    unlink(path_of("meta.json"));
    unlink(path_of("val.bin"));
    memcpy(file, header, sizeof header);
    memcpy(file + 1024, "\x50\xC4\x07\x00\x01\x00", 6);
    assert_int_equal(mr_file_write(path_of("train.bin"), file, 1024 + 6), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_TRAIN), 3);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 3, tokens), 0);
    assert_int_equal(tokens[0], 50256);
    assert_int_equal(tokens[2], 1);
    mr_token_data_close(d);
    assert_int_equal(mr_file_write(path_of("train.bin"), file, 1024 + 4), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "its header, of llm.c, says 3 tokens, but 4 bytes follow"));
    memcpy(file, (int32_t[]){20240801, 7, 3}, 12);
    memcpy(file + 1024, "\xFF\xF4\x01\x00\x07\x00\x00\x00\x01\x00\x00", 12);
    assert_int_equal(mr_file_write(path_of("train.bin"), file, 1024 + 12), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 3, tokens), 0);
    assert_int_equal(tokens[0], 128255);
    mr_token_data_close(d);
}

static void test_files_of_megatron(void **state)
{
    (void)state;
    mr_token_data *d;
    int32_t tokens[2];
    char index[34] = "MMIDIDX\0\0\1\0\0\0\0\0\0\0\4";
    write_bytes_data();
    unlink(path_of("meta.json"));
    unlink(path_of("val.bin"));
    assert_int_equal(mr_file_write(path_of("train.bin"), "\x00\x00\x01\x00\x07\x00\x00\x00", 8), 0);
    assert_int_equal(mr_file_write(path_of("train.idx"), index, sizeof index), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_TRAIN), 2);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_TRAIN, 0, 2, tokens), 0);
    assert_int_equal(tokens[0], 65536);
    mr_token_data_close(d);
    index[17] = 8;
    assert_int_equal(mr_file_write(path_of("train.idx"), index, sizeof index), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_TRAIN), 4);
    mr_token_data_close(d);
    index[17] = 6;
    assert_int_equal(mr_file_write(path_of("train.idx"), index, sizeof index), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "kind 6 (float32)"));
    assert_int_equal(mr_file_write(path_of("train.idx"), "<html></html>......", 19), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "is no index of Megatron's"));
}

static void test_files_that_are_no_tokens_are_named(void **state)
{
    (void)state;
    static const char *const files[][2] = {{"\x93NUMPY\1\0v..", "NumPy"},
                                           {"PK\3\4....", "zip archive"},
                                           {"version https://git-lfs.github.com/spec/v1\n.", "Git LFS pointer"},
                                           {"<!doctype html><html>.", "HTML page"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        mr_token_data *d;
        write_bytes_data();
        unlink(path_of("meta.json"));
        assert_int_equal(mr_file_write(path_of("val.bin"), files[i][0], i ? strlen(files[i][0]) : 10), 0);
        assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
        assert_non_null(strstr(mr_error_text(), "val.bin cannot be read as tokens"));
        assert_non_null(strstr(mr_error_text(), files[i][1]));
    }
}

static void test_tokens_outside_the_own_vocabulary(void **state)
{
    (void)state;
    mr_token_data *d;
    json_t *meta;
    int32_t tokens[3];
    write_bytes_data();
    assert_int_equal(mr_json_load(&meta, path_of("meta.json")), 0);
    json_object_del(json_object_get(meta, "val"), "digest");
    assert_int_equal(mr_json_save(meta, path_of("meta.json")), 0);
    json_decref(meta);
    assert_int_equal(mr_file_write(path_of("val.bin"), "\x01\x00\x00\x01\x01\x00", 6), 0);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_read(d, MR_SPLIT_VAL, 0, 3, tokens), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "token 1 is 256"));
    mr_token_data_close(d);
}

static void test_files_cut_short(void **state)
{
    (void)state;
    mr_token_data *d;
    write_bytes_data();
    assert_int_equal(truncate(path_of("train.bin"), 9998), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "holds 4999 tokens"));
    assert_int_equal(truncate(path_of("train.bin"), 9997), 0);
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "cut short"));
    unlink(path_of("train.bin"));
    assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
    assert_null(d);
}

static void test_damaged_meta(void **state)
{
    (void)state;
    static const char *const damaged[] = {"{",
                                          "[]",
                                          "{\"format\":1}",
                                          "{\"format\":2,\"vocab_size\":256}",
                                          "{\"format\":1,\"vocab_size\":0,\"dtype\":\"uint16\",\"tokenizer\":{},"
                                          "\"train\":{\"tokens\":5000},\"val\":{\"tokens\":3}}",
                                          "{\"format\":1,\"vocab_size\":256,\"dtype\":\"int8\",\"tokenizer\":{},"
                                          "\"train\":{\"tokens\":5000},\"val\":{\"tokens\":3}}",
                                          "{\"format\":1,\"vocab_size\":256,\"dtype\":\"uint16\",\"tokenizer\":{},"
                                          "\"train\":{\"tokens\":-1},\"val\":{\"tokens\":3}}"};
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++) {
        mr_token_data *d;
        write_bytes_data();
        assert_int_equal(mr_file_write(path_of("meta.json"), damaged[i], strlen(damaged[i])), 0);
        assert_int_equal(mr_token_data_open(&d, inside), MR_EFILE);
        assert_non_null(strstr(mr_error_text(), "meta.json"));
    }
}

static void test_nothing_changes_without_a_commit(void **state)
{
    (void)state;
    mr_tokenizer *t;
    mr_token_writer *w;
    mr_token_data *d;
    uint32_t id = 1;
    write_bytes_data();
    assert_int_equal(mr_tokenizer_open(&t, "byte"), 0);
    assert_int_equal(mr_token_writer_open(&w, inside, t), 0);
    assert_int_equal(mr_token_writer_write(w, MR_SPLIT_TRAIN, &id, 1, 1), 0);
    mr_token_writer_discard(w);
    assert_int_equal(mr_token_data_open(&d, inside), 0);
    assert_int_equal(mr_token_data_count(d, MR_SPLIT_TRAIN), 5000);
    mr_token_data_close(d);
    mr_tokenizer_close(t);
}

static void test_folders_without_data_or_in_the_way(void **state)
{
    (void)state;
    mr_tokenizer *t;
    mr_token_writer *w;
    mr_token_data *d;
    assert_int_equal(mr_token_data_open(&d, folder), MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "neither train.bin nor val.bin"));
    write_bytes_data();
    assert_int_equal(mr_tokenizer_open(&t, "byte"), 0);
    assert_int_equal(mr_token_writer_open(&w, path_of("meta.json"), t), MR_EFILE);
    assert_int_equal(mr_token_writer_open(&w, path_of("meta.json/c"), t), MR_EFILE);
    assert_null(w);
    mr_tokenizer_close(t);
}

#define CHECK(test) cmocka_unit_test_setup_teardown(test, fresh, drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHECK(test_what_is_written_comes_back),
        CHECK(test_more_than_there_is),
        CHECK(test_large_vocabularies_take_four_bytes),
        CHECK(test_nanogpts_folder),
        CHECK(test_files_of_two_preparations_are_refused),
        CHECK(test_large_files_of_two_preparations_are_refused),
        CHECK(test_data_without_digests_is_read),
        CHECK(test_files_of_llm_c),
        CHECK(test_files_of_megatron),
        CHECK(test_files_that_are_no_tokens_are_named),
        CHECK(test_tokens_outside_the_own_vocabulary),
        CHECK(test_files_cut_short),
        CHECK(test_damaged_meta),
        CHECK(test_nothing_changes_without_a_commit),
        CHECK(test_folders_without_data_or_in_the_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
