/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the unit tests share: cmocka, a folder of their own for files, and checks of errors. */
#ifndef MR_UNIT_TEST_H
#define MR_UNIT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The call fails with this code, and its text contains this. */
#define assert_fails(code, part, call)                                                                   \
    do {                                                                                                 \
        int result_ = (call);                                                                            \
        if (result_ != (code) || !strstr(mr_error_text(), part))                                         \
            fail_msg("expected error %d with \"%s\", got %d: %s", code, part, result_, mr_error_text()); \
    } while (0)

#define assert_ok(call)                                         \
    do {                                                        \
        int result_ = (call);                                   \
        if (result_ < 0)                                        \
            fail_msg("error %d: %s", result_, mr_error_text()); \
    } while (0)

static inline int test_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

/* An empty folder, made on the first call. */
static inline const char *test_folder(void)
{
    static char folder[64];
    if (!*folder) {
        snprintf(folder, sizeof folder, "/tmp/microrwkv-test-XXXXXX");
        assert_non_null(mkdtemp(folder));
    }
    return folder;
}

/* Group teardown. */
static inline int test_cleanup(void **state)
{
    (void)state;
    return nftw(test_folder(), test_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A path in that folder; four of them may be in use at a time. */
static inline const char *test_path(const char *name)
{
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", test_folder(), name);
    return path[turn];
}

/* A file of the source tree. */
static inline const char *test_source(const char *name)
{
    static char path[4][1024];
    static int turn;
    turn = (turn + 1) % 4;
    const char *root = getenv("MICRORWKV_TEST_SOURCE");
    snprintf(path[turn], sizeof path[turn], "%s/%s", root ? root : ".", name);
    return path[turn];
}

/* The number of entries of that folder. */
static inline int test_count_files(void)
{
    int n = 0;
    char command[128];
    snprintf(command, sizeof command, "ls -A %s | wc -l", test_folder());
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

#endif
