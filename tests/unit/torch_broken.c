/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files of torch.save that are made by hand, broken or hostile: what is wrong is named, and nothing goes
 * through. */
#include "content.h"

#include <zip.h>

#include "io/tensor_source.h"
#include "io/torch_file.h"
#include "io/zip_writer.h"

/* A dictionary {"t": twelve floats seen as `view`} (offset, size, stride as a pickle has them). */
#define ONE(view)                                                                                        \
    "\x80\x02}X\x01\0\0\0tctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n" \
    "X\x01\0\0\0"                                                                                        \
    "7X\x03\0\0\0cpuK\x0ctQ" view "\x89NtRs."
#define PLAIN ONE("K\0K\x0c\x85K\x01\x85")

struct member {
    const char *name;
    const void *bytes;
    size_t size;
};

#define PICKLE(name, text)           \
    {                                \
        name, text, sizeof(text) - 1 \
    }

static const float twelve[12] = {1, 2, 3};

static const char *archive(const struct member *members, size_t count)
{
    const char *path = test_path("made.pt");
    struct mr_zip_writer zip = {0};
    assert_ok(mr_writer_open(&zip.out, path));
    for (size_t i = 0; i < count; i++) {
        assert_ok(mr_zip_begin(&zip, members[i].name, members[i].size));
        assert_ok(mr_zip_append(&zip, members[i].bytes, members[i].size));
        assert_ok(mr_zip_end(&zip));
    }
    assert_ok(mr_zip_finish(&zip));
    mr_zip_free(&zip);
    assert_ok(mr_writer_commit(zip.out));
    return path;
}

#define ARCHIVE(...) \
    archive((const struct member[]){__VA_ARGS__}, sizeof((const struct member[]){__VA_ARGS__}) / sizeof(struct member))

static void test_the_archive_may_have_any_name(void **state)
{
    (void)state;
    struct member data = {"", twelve, sizeof twelve};
    static const char *const roots[] = {"archive/", "", "my model/", "a/b/"};
    for (size_t i = 0; i < COUNT(roots); i++) {
        char pickle[64], storage[64];
        snprintf(pickle, sizeof pickle, "%sdata.pkl", roots[i]);
        snprintf(storage, sizeof storage, "%sdata/7", roots[i]);
        data.name = storage;
        mr_tensor_file *file;
        float first;
        assert_ok(mr_torch_open(&file, ARCHIVE(PICKLE(pickle, PLAIN), data)));
        assert_ok(mr_tensor_file_read_f32(file, 0, 1, 1, &first));
        assert_true(first == 2);
        mr_tensor_file_close(file);
    }
}

/* More files than the archive's short fields can count. */
static void test_an_archive_may_have_many_files(void **state)
{
    (void)state;
    enum { COUNT_OF = 70000 };
    struct member *members = calloc(COUNT_OF, sizeof *members);
    char(*names)[24] = calloc(COUNT_OF, sizeof *names);
    assert_true(members && names);
    for (int i = 0; i < COUNT_OF; i++) {
        snprintf(names[i], sizeof names[i], "m/other/%d", i);
        members[i].name = names[i];
    }
    members[0] = (struct member)PICKLE("m/data.pkl", PLAIN);
    members[COUNT_OF - 1] = (struct member){"m/data/7", twelve, sizeof twelve};
    assert_ok(read_all(mr_torch_open, archive(members, COUNT_OF)));
    free(members);
    free(names);
}

static void refuse(const char *part, const char *path)
{
    assert_fails(MR_EFILE, part, read_all(mr_tensor_source_open, path));
    if (!strstr(mr_error_text(), path))
        fail_msg("the file is not named: %s", mr_error_text());
}

static void test_wrong_archives_are_refused(void **state)
{
    (void)state;
    const struct member data = {"m/data/7", twelve, sizeof twelve}, little = PICKLE("m/byteorder", "little");
    assert_ok(read_all(mr_torch_open, ARCHIVE(PICKLE("m/data.pkl", PLAIN), data, little)));
    refuse("byte order is big", ARCHIVE(PICKLE("m/data.pkl", PLAIN), data, PICKLE("m/byteorder", "big")));
    refuse("storage data/7 of tensor \"t\" is missing", ARCHIVE(PICKLE("m/data.pkl", PLAIN), little));
    refuse("storage data/7 of tensor \"t\" is missing", ARCHIVE(PICKLE("m/data.pkl", PLAIN), PICKLE("data/7", "")));
    refuse("has 47 bytes, where 12 numbers of 4 belong", ARCHIVE(PICKLE("m/data.pkl", PLAIN), {data.name, twelve, 47}));
    refuse("without data.pkl", ARCHIVE(data, little));
    refuse("beyond its storage", ARCHIVE(PICKLE("m/data.pkl", ONE("K\x01K\x0c\x85K\x01\x85")), data));
    refuse("repeats its 12 stored numbers", ARCHIVE(PICKLE("m/data.pkl", ONE("K\0J\0\0\0\x7f\x85K\0\x85")), data));
    refuse("its shape overflows",
           ARCHIVE(PICKLE("m/data.pkl", ONE("K\0J\0\0\0\x7fJ\0\0\0\x7fJ\0\0\0\x7f\x87K\0K\0K\0\x87")), data));
    refuse("'posix.system'", ARCHIVE(PICKLE("m/data.pkl", "\x80\x02"
                                                          "cposix\nsystem\nX\x01\0\0\0:\x85R."),
                                     data));
    refuse("does not hold a dictionary", ARCHIVE(PICKLE("m/data.pkl", "\x80\x02]."), data));
    refuse("cut short", ARCHIVE(PICKLE("m/data.pkl", ""), data));
    /* {"a": {"b": tensor}, "a.b": tensor} */
    refuse("duplicate tensor name \"a.b\"",
           ARCHIVE(PICKLE("m/data.pkl", "\x80\x02}(X\x01\0\0\0a}X\x01\0\0\0bctorch._utils\n_rebuild_tensor_v2\n"
                                        "((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
                                        "7X\x03\0\0\0cpu"
                                        "K\x0ctQK\0))\x89NtRq\0sX\x03\0\0\0a.bh\0u."),
                   data));
}

static void test_other_ways_to_save_are_named(void **state)
{
    (void)state;
    const char *path = test_path("bare.pt");
    assert_ok(mr_file_write(path, "\x80\x04}.", 4));
    refuse("is a bare pickle;", path);
    /* compressed */
    path = test_path("deflated.pt");
    zip_t *zip = zip_open(path, ZIP_CREATE, NULL);
    static const char zeros[5000];
    assert_non_null(zip);
    for (int i = 0; i < 2; i++) {
        zip_source_t *s =
            i ? zip_source_buffer(zip, zeros, sizeof zeros, 0) : zip_source_buffer(zip, PLAIN, sizeof PLAIN - 1, 0);
        zip_int64_t at = zip_file_add(zip, i ? "m/data/7" : "m/data.pkl", s, 0);
        assert_true(at >= 0);
        assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)at, i ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0), 0);
    }
    assert_int_equal(zip_close(zip), 0);
    refuse("m/data/7 is compressed or encrypted", path);
}

static struct content small_content(const char *path)
{
    struct content c = {0};
    mr_tensor_writer *w;
    for (int dtype = 0; dtype <= MR_DTYPE_I32; dtype++)
        content_add(&c, (enum mr_dtype)dtype, 2, 3, 7, 1);
    content_add(&c, MR_DTYPE_F32, 0, 0, 0, 0);
    assert_ok(mr_torch_begin(&w, path, c.list, c.count, NULL));
    content_write(&c, w);
    return c;
}

static void test_a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    const char *path = test_path("whole.pt"), *cut = test_path("cut.pt");
    struct content c = small_content(path);
    struct mr_str whole = {0};
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t n = 0; n < whole.size; n += n < 100 || n + 100 > whole.size ? 1 : 17) {
        refuse("", overwrite(cut, whole.text, n));
    }
    mr_str_free(&whole);
    content_release(&c);
}

/* A changed byte is noticed where it counts: the archive's and the pickle's words, or a number's checksum. */
static void test_altered_files_are_survived_and_altered_numbers_noticed(void **state)
{
    (void)state;
    const char *path = test_path("altered.pt");
    struct content c = small_content(path);
    struct mr_str whole = {0};
    char digest[33], other[33];
    mr_tensor_file *file;
    assert_ok(mr_torch_open(&file, path));
    assert_ok(mr_tensor_file_digest(file, digest));
    mr_tensor_file_close(file);
    assert_ok(mr_file_read(path, 1 << 20, &whole));
    for (size_t i = 0; i < whole.size; i++) {
        whole.text[i] ^= (char)(1 << i % 8);
        overwrite(path, whole.text, whole.size);
        whole.text[i] ^= (char)(1 << i % 8);
        int err = mr_torch_open(&file, path);
        if (!err) {
            err = mr_tensor_file_digest(file, other);
            mr_tensor_file_close(file);
        }
        if (err ? err != MR_EFILE || !strstr(mr_error_text(), path) : strcmp(digest, other) != 0)
            fail_msg("byte %zu: error %d: %s", i, err, err ? mr_error_text() : "not noticed");
    }
    mr_str_free(&whole);
    content_release(&c);
}

/* Sizes in the archive's directory that are not true, up to the largest. */
static void test_sizes_beyond_the_file_are_refused(void **state)
{
    (void)state;
    const char *path = ARCHIVE(PICKLE("m/data.pkl", PLAIN), {"m/data/7", twelve, sizeof twelve});
    struct mr_str whole = {0};
    assert_ok(mr_file_read(path, 999, &whole));
    static const uint32_t sizes[] = {1000, 0x7fffffff, 0xfffffffe, 0xffffffff};
    static const int fields[] = {20, 24, 42}; /* stored size, size, place */
    for (size_t at = 0; at + 46 < whole.size; at++) {
        if (memcmp(whole.text + at, "PK\1\2", 4))
            continue;
        for (size_t i = 0; i < COUNT(sizes); i++)
            for (unsigned set = 1; set < 8; set++) {
                char before[46];
                memcpy(before, whole.text + at, 46);
                for (int k = 0; k < 3; k++)
                    if (set & 1u << k)
                        memcpy(whole.text + at + fields[k], &sizes[i], 4);
                refuse("", overwrite(path, whole.text, whole.size));
                memcpy(whole.text + at, before, 46);
            }
    }
    mr_str_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_archive_may_have_any_name),
        cmocka_unit_test(test_an_archive_may_have_many_files),
        cmocka_unit_test(test_wrong_archives_are_refused),
        cmocka_unit_test(test_other_ways_to_save_are_named),
        cmocka_unit_test(test_a_file_cut_short_anywhere_is_refused),
        cmocka_unit_test(test_altered_files_are_survived_and_altered_numbers_noticed),
        cmocka_unit_test(test_sizes_beyond_the_file_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
