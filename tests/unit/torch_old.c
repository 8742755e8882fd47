/* SPDX-License-Identifier: GPL-3.0-or-later
 * What torch wrote before version 1.6 is read, and nothing wrong or hostile goes through. */
#include "content.h"

#include "io/tensor_source.h"
#include "io/torch_file.h"

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define HEAD MAGIC "\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x88s."
/* {"t": a view (offset, size, stride) of a storage of this class, with key "7"} */
#define ONE(class, rest, view)                                                                                        \
    "\x80\x02}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagec" class "\nX\x01\0\0\0"             \
                                                                                          "7X\x03\0\0\0cpuK\x03" rest \
                                                                                          "tQ" view "\x89NtRs."
#define KEYS               \
    "\x80\x02]X\x01\0\0\0" \
    "7a."
#define THREE "\x03\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40\0\0\x40\x40"
#define WHOLE "K\0K\x03\x85K\x01\x85"
#define FLOATS "torch\nFloatStorage"

static const char *write_bytes(const char *bytes, size_t size)
{
    const char *path = test_path("old.pt");
    assert_ok(mr_file_write(path, bytes, size));
    return path;
}

static mr_tensor_file *open_bytes(const char *bytes, size_t size)
{
    mr_tensor_file *file;
    assert_ok(mr_tensor_source_open(&file, write_bytes(bytes, size)));
    return file;
}

static void refuse(const char *part, const char *bytes, size_t size)
{
    const char *path = write_bytes(bytes, size);
    assert_fails(MR_EFILE, part, read_all(mr_tensor_source_open, path));
    if (!strstr(mr_error_text(), path))
        fail_msg("the file is not named: %s", mr_error_text());
}

#define OPEN(bytes) open_bytes(bytes, sizeof(bytes) - 1)
#define REFUSE(part, bytes) refuse(part, bytes, sizeof(bytes) - 1)

static void expect(mr_tensor_file *file, const char *name, size_t count, const float *want)
{
    float got[60];
    int64_t i = mr_tensor_file_find(file, name);
    if (i < 0)
        fail_msg("%s is missing", name);
    assert_ok(mr_tensor_file_read_f32(file, (size_t)i, 0, count, got));
    assert_memory_equal(got, want, count * sizeof *got);
}

/* tests/golden/make_torch_files.py says what is in it. */
static void test_what_torch_wrote(void **state)
{
    (void)state;
    mr_tensor_file *file;
    float whole[60], transposed[60], columns[20];
    for (int i = 0; i < 60; i++) {
        whole[i] = (float)i;
        transposed[i % 12 * 5 + i / 12] = (float)i;
        if (i % 12 >= 3 && i % 12 < 7)
            columns[i / 12 * 4 + i % 12 - 3] = (float)i;
    }
    assert_ok(mr_tensor_source_open(&file, test_source("tests/golden/old.pt")));
    assert_string_equal(file->format->name, "torch");
    assert_int_equal(file->count, 6);
    expect(file, "model.whole", 60, whole);
    expect(file, "model.transposed", 60, transposed);
    expect(file, "model.columns", 20, columns);
    expect(file, "model.parameter", 3, whole);
    expect(file, "model.half", 7, whole);
    assert_int_equal(file->tensors[1].shares, 0);
    json_t *want =
        json_loads("{\"complex\": null, \"args\": {\"lr\": 0.5, \"data\": null, \"dtype\": \"torch.float16\","
                   "\"device\": \"cuda:1\"}, \"curve\": null, \"best\": 1.5, \"groups\": {\"a\": [1]}}",
                   0, NULL);
    char *text = json_dumps(file->metadata, 0);
    if (!json_equal(file->metadata, want))
        fail_msg("the metadata is %s", text);
    free(text);
    json_decref(want);
    mr_tensor_file_close(file);
}

static void test_storages_and_views_of_them(void **state)
{
    (void)state;
    mr_tensor_file *file = OPEN(HEAD ONE(FLOATS, "", WHOLE) KEYS THREE);
    expect(file, "t", 3, (float[]){1, 2, 3});
    mr_tensor_file_close(file);
    file = OPEN(HEAD ONE(FLOATS, "N", WHOLE) KEYS THREE);
    mr_tensor_file_close(file);
    /* a view that begins at the second number */
    file = OPEN(HEAD ONE(FLOATS, "X\1\0\0\0vK\1K\2\x87", "K\0K\x02\x85K\x01\x85") KEYS THREE);
    expect(file, "t", 2, (float[]){2, 3});
    mr_tensor_file_close(file);
    REFUSE("beyond its storage of 2", HEAD ONE(FLOATS, "X\1\0\0\0vK\1K\2\x87", WHOLE) KEYS THREE);
    REFUSE("view of a storage", HEAD ONE(FLOATS, "X\1\0\0\0vK\2K\2\x87", "K\0K\x02\x85K\x01\x85") KEYS THREE);
}

static void test_types_that_are_not_read_stay_out(void **state)
{
    (void)state;
    mr_tensor_file *file = OPEN(HEAD ONE("torch\nQInt32Storage", "", WHOLE) KEYS THREE);
    assert_int_equal(file->count, 0);
    mr_tensor_file_close(file);
    REFUSE("of a type that is not known", HEAD ONE("torch\nNewStorage", "", WHOLE) KEYS THREE);
}

static void test_wrong_files_are_refused(void **state)
{
    (void)state;
    REFUSE("its version is not 1001", MAGIC "\x80\x02M\xe8\x03.");
    REFUSE("byte order is big", MAGIC "\x80\x02M\xe9\x03.\x80\x02}X\x0d\0\0\0little_endian\x89s.");
    REFUSE("the list of its storages is none", HEAD ONE(FLOATS, "", WHOLE) "\x80\x02N.");
    REFUSE("is no text", HEAD ONE(FLOATS, "", WHOLE) "\x80\x02]Na.");
    REFUSE("have the same key", HEAD ONE(FLOATS, "", WHOLE) "\x80\x02](X\x01\0\0\0"
                                                            "7X\x01\0\0\0"
                                                            "7e.");
    REFUSE("storage of tensor \"t\" is missing", HEAD ONE(FLOATS, "", WHOLE) "\x80\x02].");
    REFUSE("would have 772 numbers", HEAD ONE(FLOATS, "", WHOLE) KEYS "\x04" THREE);
    REFUSE("would have 72057594037927939 numbers", HEAD ONE(FLOATS, "", WHOLE) KEYS "\x03\0\0\0\0\0\0\x01"
                                                                                    "abcdefghijkl");
    REFUSE("has 2 numbers, where 3 belong",
           HEAD ONE(FLOATS, "", WHOLE) KEYS "\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40");
    REFUSE("'posix.system'", HEAD "\x80\x02"
                                  "cposix\nsystem\nX\x01\0\0\0:\x85R." KEYS);
}

static void test_a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    static const char whole[] = HEAD ONE(FLOATS, "", WHOLE) KEYS THREE;
    for (size_t n = 0; n < sizeof whole - 1; n++)
        refuse("", whole, n);
}

static void test_altered_files_are_survived(void **state)
{
    (void)state;
    static const char whole[] = HEAD ONE(FLOATS, "", WHOLE) KEYS THREE;
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            char bytes[sizeof whole];
            memcpy(bytes, whole, sizeof whole);
            bytes[i] ^= (char)(1 << bit);
            int err = read_all(mr_tensor_source_open, write_bytes(bytes, sizeof whole - 1));
            if (err && (err != MR_EFILE || !strstr(mr_error_text(), "old.pt")))
                fail_msg("byte %zu: error %d: %s", i, err, mr_error_text());
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_torch_wrote),
        cmocka_unit_test(test_storages_and_views_of_them),
        cmocka_unit_test(test_types_that_are_not_read_stay_out),
        cmocka_unit_test(test_wrong_files_are_refused),
        cmocka_unit_test(test_a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(test_altered_files_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
