/* SPDX-License-Identifier: GPL-3.0-or-later
 * Whichever allocation fails, ours or a library's: it is memory that is told of, never the file. */
#include "unit_test.h"

#include <errno.h>
#include <zlib.h>

#include "base/file.h"
#include "base/json.h"
#include "data/source.h"
#include "data/token_file.h"
#include "io/mrw.h"
#include "io/safetensors.h"
#include "io/tensor_source.h"
#include "io/torch_file.h"
#include "train/config.h"

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#if defined __GLIBC__ && !defined __SANITIZE_ADDRESS__

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static long left = -1; /* allocations until all fail; -1: none does */

static bool fails(void)
{
    if (left > 0)
        left--;
    if (left)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

/* Runs the work with room for 0, 1, 2, … allocations until it succeeds. */
static void expect_out_of_memory(const char *what, int (*work)(const char *path), const char *path)
{
    int err = MR_ENOMEM;
    long n = 0;
    for (; err == MR_ENOMEM && n < 100000; n++) {
        left = n;
        err = work(path);
        left = -1;
        if (err == MR_ENOMEM && (!strstr(mr_error_text(), "memory") || strstr(mr_error_text(), "damaged")))
            fail_msg("%s: with room for %ld allocations: %s", what, n, mr_error_text());
    }
    if (err)
        fail_msg("%s: with room for %ld allocations: error %d: %s", what, n - 1, err, mr_error_text());
    assert_true(n > 4);
}

static int read_tensors(const char *path)
{
    mr_tensor_file *file = NULL;
    float x[64];
    int err = mr_tensor_source_open(&file, path);
    for (size_t i = 0; !err && i < file->count; i++)
        err = mr_tensor_file_read_f32(file, i, 0, 64, x);
    if (file)
        mr_tensor_file_close(file);
    return err;
}

static int open_json(const char *path)
{
    json_t *json = json_object();
    int err = json ? mr_json_set(json, "a key", json_string(path)) : mr_fail(MR_ENOMEM, "out of memory");
    if (!err)
        err = mr_json_set(json, "another", json_array());
    if (!err)
        err = mr_json_append(json_object_get(json, "another"), json_string(path));
    json_decref(json);
    return err;
}

static int put_json(const char *path)
{
    json_t *json = json_object(), *list = json_array();
    mr_json_put(&json, "a key", json_string(path));
    mr_json_push(&list, json_string(path));
    mr_json_put(&json, "a list", list);
    bool whole = json_array_size(json_object_get(json, "a list")) == 1 && json_object_get(json, "a key");
    int err = whole ? 0 : json ? mr_fail(MR_EINVAL, "a part is missing") : mr_fail(MR_ENOMEM, "out of memory");
    json_decref(json);
    return err;
}

static int set_keys(const char *path)
{
    struct mr_train_config cfg;
    char assignment[300];
    int err = mr_train_config_defaults(&cfg);
    snprintf(assignment, sizeof assignment, "dataset=%s", path);
    if (!err)
        err = mr_train_config_assign(&cfg, assignment);
    mr_train_config_free(&cfg);
    return err;
}

typedef int begin(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                  const json_t *metadata);

static int begin_mrw(mr_tensor_writer **writer, const char *path, const struct mr_file_tensor *tensors, size_t count,
                     const json_t *metadata)
{
    return mr_mrw_begin(writer, path, tensors, count, metadata, MR_MRW_LEVEL);
}

static const char *write_tensors(const char *name, begin *begin)
{
    const char *path = test_path(name);
    struct mr_file_tensor tensors[] = {{.name = "model.a", .ndim = 1, .shape = {64}, .shares = -1},
                                       {.name = "model.b", .ndim = 2, .shape = {4, 16}, .shares = -1}};
    float x[64];
    for (int i = 0; i < 64; i++)
        x[i] = (float)i;
    json_t *metadata = json_pack("{s{si ss}}", "config", "n", 7, "text", "a longer text");
    mr_tensor_writer *w;
    assert_ok(begin(&w, path, tensors, 2, metadata));
    assert_ok(mr_tensor_writer_append_f32(w, x, 64));
    assert_ok(mr_tensor_writer_append_f32(w, x, 64));
    assert_ok(mr_tensor_writer_finish(w));
    json_decref(metadata);
    return path;
}

static void test_files_of_tensors(void **state)
{
    (void)state;
    expect_out_of_memory("torch", read_tensors, write_tensors("a.pt", mr_torch_begin));
    expect_out_of_memory("mrw", read_tensors, write_tensors("a.mrw", begin_mrw));
    expect_out_of_memory("safetensors", read_tensors, write_tensors("a.safetensors", mr_safetensors_begin));
}

static void test_documents_and_keys(void **state)
{
    (void)state;
    expect_out_of_memory("JSON that is set", open_json, "a path");
    expect_out_of_memory("JSON that is put", put_json, "a path");
    expect_out_of_memory("keys of a run", set_keys, "a path");
}

static int read_source(const char *path)
{
    mr_source *s = NULL;
    struct mr_piece piece;
    int more = mr_source_open(&s, path, NULL);
    if (!more)
        while ((more = mr_source_next(s, &piece)) > 0)
            ;
    if (s)
        mr_source_close(s);
    return more;
}

static void test_texts_and_records(void **state)
{
    (void)state;
    const char text[] = "{\"id\": [1, {\"a\": null}], \"text\": \"some \\u00e4\"}\n{\"text\": \"more\"}\n";
    static const char *const names[] = {"a.txt", "a.jsonl", "b.jsonl.gz"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const char *path = test_path(names[i]);
        gzFile out = gzopen(path, i == 2 ? "wb" : "wbT");
        assert_int_equal(gzwrite(out, text, sizeof text - 1), sizeof text - 1);
        gzclose(out);
        expect_out_of_memory(names[i], read_source, path);
    }
}

static int read_json(const char *path)
{
    json_t *json = NULL;
    int err = mr_json_load(&json, path);
    json_decref(json);
    return err;
}

static int read_tokens(const char *folder)
{
    mr_token_data *data = NULL;
    int err = mr_token_data_open(&data, folder);
    mr_token_data_close(data);
    return err;
}

static void test_json_and_tokens(void **state)
{
    (void)state;
    const char *path = test_path("data/meta.json");
    mr_tokenizer *t;
    mr_token_writer *w;
    const uint32_t ids[] = {1, 2, 3};
    assert_ok(mr_tokenizer_open(&t, "byte"));
    assert_ok(mr_token_writer_open(&w, test_path("data"), t));
    assert_ok(mr_token_writer_write(w, MR_SPLIT_TRAIN, ids, 3, 3));
    assert_ok(mr_token_writer_commit(w));
    mr_tokenizer_close(t);
    expect_out_of_memory("JSON", read_json, path);
    expect_out_of_memory("tokens", read_tokens, test_path("data"));
}

#else

static void skipped(void **state)
{
    (void)state;
    skip(); /* malloc cannot be replaced here */
}
#define test_files_of_tensors skipped
#define test_documents_and_keys skipped
#define test_texts_and_records skipped
#define test_json_and_tokens skipped

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_of_tensors),
        cmocka_unit_test(test_documents_and_keys),
        cmocka_unit_test(test_texts_and_records),
        cmocka_unit_test(test_json_and_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
