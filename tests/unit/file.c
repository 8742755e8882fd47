/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files appear whole or not at all, and reading notices what is missing. */
#include "unit_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/file.h"

static bool folders_fail; /* to sync */

/* Stands before the C library's. */
int fsync(int fd)
{
    struct stat st;
    if (folders_fail && !fstat(fd, &st) && S_ISDIR(st.st_mode)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static char logged[500];

static void keep_log(void *context, enum mr_log_level level, const char *line)
{
    (void)context;
    snprintf(logged, sizeof logged, "%s%s", level == MR_LOG_WARNING ? "warning: " : "", line);
}

static void expect_content(const char *path, const char *want)
{
    struct mr_str text = {0};
    assert_ok(mr_file_read(path, 1 << 20, &text));
    assert_string_equal(text.text ? text.text : "", want);
    mr_str_free(&text);
}

static void test_write_then_read(void **state)
{
    (void)state;
    const char *path = test_path("a.txt");
    assert_ok(mr_file_write(path, "hello", 5));
    expect_content(path, "hello");
    assert_ok(mr_file_write(path, "new", 3));
    expect_content(path, "new");
    assert_int_equal(test_count_files(), 1);
    remove(path);
}

static void test_old_content_stays_until_commit(void **state)
{
    (void)state;
    const char *path = test_path("b.txt");
    assert_ok(mr_file_write(path, "old", 3));
    mr_writer *out;
    assert_ok(mr_writer_open(&out, path));
    assert_ok(mr_writer_write(out, "half of the n", 13));
    expect_content(path, "old");
    mr_writer_discard(out);
    expect_content(path, "old");
    assert_int_equal(test_count_files(), 1);
    remove(path);
}

static void test_large_writes_and_patches_keep_order(void **state)
{
    (void)state;
    const char *path = test_path("c.bin");
    size_t n = 1500000, at = 0;
    uint8_t *data = malloc(n), *back = malloc(n);
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 13);
    mr_writer *out;
    assert_ok(mr_writer_open(&out, path));
    for (size_t piece = 1; at < n; piece = piece * 3 + 1) {
        size_t size = piece < n - at ? piece : n - at;
        assert_ok(mr_writer_write(out, data + at, size));
        at += size;
    }
    assert_int_equal(mr_writer_position(out), n);
    assert_ok(mr_writer_patch(out, 1000, "patch", 5));
    memcpy(data + 1000, "patch", 5);
    assert_fails(MR_EINVAL, "not been written yet", mr_writer_patch(out, n - 2, "abc", 3));
    assert_ok(mr_writer_commit(out));
    mr_reader *in;
    assert_ok(mr_reader_open(&in, path));
    assert_int_equal(mr_reader_size(in), n);
    assert_ok(mr_reader_read(in, 0, back, n));
    assert_memory_equal(data, back, n);
    assert_ok(mr_reader_read(in, 1000, back, 5));
    assert_memory_equal(back, "patch", 5);
    assert_fails(MR_EFILE, "cut short", mr_reader_read(in, n - 1, back, 2));
    assert_fails(MR_EFILE, "cut short", mr_reader_read(in, UINT64_MAX, back, 2));
    mr_reader_close(in);
    free(data);
    free(back);
    remove(path);
}

static void test_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = test_path("d.bin");
    assert_ok(mr_file_write(path, "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1 << 20;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    char *block = calloc(1, 3 << 20);
    int err = mr_file_write(path, block, 3 << 20);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(err, MR_EFILE);
    assert_non_null(strstr(mr_error_text(), "d.bin: File too large"));
    expect_content(path, "old");
    assert_int_equal(test_count_files(), 1);
    free(block);
    remove(path);
}

static void test_folder_that_cannot_be_written(void **state)
{
    (void)state;
    assert_fails(MR_EFILE, "No such file or directory", mr_file_write(test_path("none/a"), "x", 1));
    assert_fails(MR_EFILE, "a folder, not a file", mr_file_write(test_folder(), "x", 1));
    assert_fails(MR_EFILE, "a device, pipe or socket", mr_file_write("/dev/null", "x", 1));
    assert_int_equal(test_count_files(), 0);
}

static void test_a_folder_that_cannot_be_synced_is_a_warning(void **state)
{
    (void)state;
    const char *path = test_path("synced.txt");
    assert_ok(mr_file_write(path, "old", 3));
    mr_set_log(keep_log, NULL);
    folders_fail = true;
    int err = mr_file_write(path, "new", 3);
    folders_fail = false;
    mr_set_log(NULL, NULL);
    assert_int_equal(err, 0);
    expect_content(path, "new");
    assert_non_null(strstr(logged, "warning: "));
    assert_non_null(strstr(logged, "synced.txt was written"));
    remove(path);
}

static void test_two_writers_do_not_mix(void **state)
{
    (void)state;
    const char *path = test_path("e.txt");
    mr_writer *a, *b;
    assert_ok(mr_writer_open(&a, path));
    assert_ok(mr_writer_open(&b, path));
    assert_ok(mr_writer_write(a, "aaaa", 4));
    assert_ok(mr_writer_write(b, "bb", 2));
    assert_ok(mr_writer_commit(a));
    expect_content(path, "aaaa");
    assert_ok(mr_writer_commit(b));
    expect_content(path, "bb");
    assert_int_equal(test_count_files(), 1);
    remove(path);
}

static void test_killed_writer_leaves_at_most_one_temporary_file(void **state)
{
    (void)state;
    const char *path = test_path("f.txt");
    assert_ok(mr_file_write(path, "old", 3));
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            mr_writer *out;
            if (!mr_writer_open(&out, path) && !mr_writer_write(out, "part", 4))
                kill(getpid(), SIGKILL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
        expect_content(path, "old");
        assert_int_equal(test_count_files(), 2);
    }
    assert_ok(mr_file_write(path, "new", 3));
    expect_content(path, "new");
    assert_int_equal(test_count_files(), 1);
    remove(path);
}

static void test_symbolic_link_and_mode_are_kept(void **state)
{
    (void)state;
    const char *path = test_path("g.txt"), *link = test_path("link");
    assert_ok(mr_file_write(path, "old", 3));
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_ok(mr_file_write(link, "new", 3));
    struct stat st;
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    expect_content(path, "new");
    remove(path);
    remove(link);
}

static void test_map_gives_the_real_size(void **state)
{
    (void)state;
    const char *path = test_path("h.bin");
    struct mr_map map;
    assert_ok(mr_file_write(path, "mapped", 6));
    assert_ok(mr_map_open(&map, path));
    assert_int_equal(map.size, 6);
    assert_memory_equal(map.data, "mapped", 6);
    mr_map_close(&map);
    assert_ok(mr_file_write(path, "", 0));
    assert_ok(mr_map_open(&map, path));
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    mr_map_close(&map);
    remove(path);
}

static void test_reading_what_is_no_file(void **state)
{
    (void)state;
    struct mr_str text = {0};
    struct mr_map map;
    assert_fails(MR_EFILE, "No such file", mr_file_read(test_path("nothing"), 10, &text));
    assert_fails(MR_EFILE, "is a folder", mr_map_open(&map, test_folder()));
    assert_fails(MR_EFILE, "not a regular file", mr_file_read("/dev/zero", 10, &text));
    const char *path = test_path("i.txt");
    assert_ok(mr_file_write(path, "0123456789", 10));
    assert_fails(MR_EFILE, "at most 9", mr_file_read(path, 9, &text));
    assert_true(mr_is_file(path) && !mr_is_folder(path) && mr_is_folder(test_folder()));
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_then_read),
        cmocka_unit_test(test_old_content_stays_until_commit),
        cmocka_unit_test(test_large_writes_and_patches_keep_order),
        cmocka_unit_test(test_full_disk_leaves_the_old_file),
        cmocka_unit_test(test_folder_that_cannot_be_written),
        cmocka_unit_test(test_a_folder_that_cannot_be_synced_is_a_warning),
        cmocka_unit_test(test_two_writers_do_not_mix),
        cmocka_unit_test(test_killed_writer_leaves_at_most_one_temporary_file),
        cmocka_unit_test(test_symbolic_link_and_mode_are_kept),
        cmocka_unit_test(test_map_gives_the_real_size),
        cmocka_unit_test(test_reading_what_is_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, test_cleanup);
}
