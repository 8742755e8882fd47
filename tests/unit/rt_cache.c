/* SPDX-License-Identifier: GPL-3.0-or-later
 * The program cache, in processes of its own: this program started again with kernels as arguments opens the
 * device, launches them, closes it, and prints how many programs it found, built and wrote. */
#include "rt_test.h"

#include <errno.h>
#include <sys/wait.h>
#include <time.h>

struct outcome {
    int hits, builds, written, warnings;
    double first_launch_ms;
};

static int warnings;

static void count_warnings(void *context, enum mr_log_level level, const char *line)
{
    (void)context, (void)line;
    warnings += level == MR_LOG_WARNING;
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static int launch(mr_runtime *rt, const char *name, mr_tensor *x, mr_tensor *y)
{
    struct mr_range one = {{1, 1, 1}, 1, NULL}, many = {{MR_LARGE_GRID, 1, 1}, 1, NULL};
    if (!strcmp(name, "is_null"))
        return mr_launch(rt, "is_null", one, mr_in(NULL), mr_out(y));
    return mr_launch(rt, "multiples", !strcmp(name, "many") ? many : one, mr_in(x), mr_out(x), mr_int(4), mr_float(0));
}

/* "aside" before the kernels: the entries are written as closing does it, which may be by a process of its own. */
static int child(char **kernels)
{
    mr_runtime *rt;
    bool aside = !strcmp(*kernels, "aside");
    kernels += aside;
    if (aside)
        unsetenv("MICRORWKV_CACHE_WAIT");
    mr_tensor x, y;
    struct outcome o = {0};
    mr_set_log(count_warnings, NULL);
    if (mr_runtime_open_table(&rt, NULL, &rt_test_table) || mr_tensor_alloc(rt, &x, MR_F32, 4) ||
        mr_tensor_alloc(rt, &y, MR_I32, 4))
        return 1;
    double from = milliseconds();
    for (char **k = kernels; *k; k++) {
        if (launch(rt, *k, &x, &y) || mr_finish(rt)) {
            fprintf(stderr, "%s\n", mr_error_text());
            return 1;
        }
        if (k == kernels)
            o.first_launch_ms = milliseconds() - from;
    }
    o.hits = rt->cache_hits;
    o.builds = rt->cache_builds;
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
    if (!aside)
        mr_cache_write(rt); /* what closing does: here its count can still be read */
    o.written = rt->cache_written;
    mr_runtime_close(rt);
    printf("%d %d %d %d %f\n", o.hits, o.builds, o.written, warnings, o.first_launch_ms);
    return 0;
}

/* A child with the folders as its cache and as PoCL's own; started, to be awaited. */
static FILE *start_with(const char *folder, const char *pocl, const char *kernels)
{
    char self[512], command[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    assert_true(!mkdir(test_path(pocl), 0700) || errno == EEXIST);
    snprintf(command, sizeof command, "POCL_CACHE_DIR='%s' MICRORWKV_CACHE_DIR='%s' '%s' %s", test_path(pocl), folder,
             self, kernels);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    return out;
}

/* What PoCL compiled for one test it has for the next: a build of ours is one all the same. */
static FILE *start(const char *folder, const char *kernels)
{
    return start_with(folder, "pocl", kernels);
}

/* With nothing in PoCL's own cache: whatever is fast is so by ours. */
static FILE *start_bare(const char *folder, const char *kernels)
{
    static int number;
    char pocl[64];
    snprintf(pocl, sizeof pocl, "pocl-%d", number++);
    return start_with(folder, pocl, kernels);
}

static struct outcome await(FILE *out)
{
    struct outcome o;
    assert_int_equal(fscanf(out, "%d %d %d %d %lf", &o.hits, &o.builds, &o.written, &o.warnings, &o.first_launch_ms),
                     5);
    assert_int_equal(pclose(out), 0);
    return o;
}

static void expect(struct outcome o, int hits, int builds, int written)
{
    if (o.hits != hits || o.builds != builds || o.written != written)
        fail_msg("%d found, %d built, %d written; expected %d, %d, %d", o.hits, o.builds, o.written, hits, builds,
                 written);
}

/* The only entry of the folder: its path, by a static place. */
static char *only_entry(const char *folder)
{
    static char path[512];
    char command[600];
    snprintf(command, sizeof command, "ls -A '%s'/*", folder);
    FILE *list = popen(command, "r");
    assert_non_null(list);
    assert_int_equal(fscanf(list, "%511s", path), 1);
    char more[512];
    assert_int_equal(fscanf(list, "%511s", more), EOF);
    pclose(list);
    return path;
}

static char *fresh(const char *name)
{
    static char folder[256];
    snprintf(folder, sizeof folder, "%s", test_path(name));
    return folder;
}

static void test_the_second_process_builds_nothing(void **state)
{
    (void)state;
    const char *folder = fresh("made/as/needed");
    struct outcome cold = await(start(folder, "multiples is_null")), warm = await(start(folder, "is_null multiples"));
    expect(cold, 0, 1, 1);
    expect(warm, 1, 0, 0);
    assert_int_equal(cold.warnings + warm.warnings, 0);
    only_entry(folder);
}

static void test_entries_hold_machine_code(void **state)
{
    (void)state;
    const char *folder = fresh("code");
    struct outcome cold = await(start_bare(folder, "multiples")), warm = await(start_bare(folder, "multiples"));
    expect(warm, 1, 0, 0);
    if (warm.first_launch_ms > cold.first_launch_ms / 2)
        fail_msg("the first launch takes %.1f ms cold and %.1f ms warm", cold.first_launch_ms, warm.first_launch_ms);
}

static void test_an_entry_grows_with_the_kernels_that_ran(void **state)
{
    (void)state;
    mr_runtime *rt = rt_test_open();
    bool late = mr_compiles_late(rt);
    mr_runtime_close(rt);
    const char *folder = fresh("grown");
    expect(await(start(folder, "multiples")), 0, 1, 1);
    expect(await(start(folder, "multiples is_null")), 1, 0, late);
    expect(await(start(folder, "multiples")), 1, 0, 0);
    expect(await(start(folder, "is_null")), 1, 0, 0);
    expect(await(start(folder, "many")), 1, 0, late);
    expect(await(start(folder, "many is_null")), 1, 0, 0);
}

static void damage(const char *path, long at, int xor)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
    int byte = fgetc(file);
    fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
    fputc(byte ^ xor, file);
    fclose(file);
}

static void test_a_broken_entry_is_rebuilt(void **state)
{
    (void)state;
    const char *folder = fresh("broken");
    expect(await(start(folder, "multiples")), 0, 1, 1);
    const char *entry = only_entry(folder);
    struct stat about;
    assert_int_equal(stat(entry, &about), 0);
    static const long places[] = {0, 8, 16, 32, 60, 5000, -1};
    for (size_t i = 0; i < COUNT(places); i++) {
        damage(entry, places[i], 0x20);
        expect(await(start(folder, "multiples")), 0, 1, 1);
    }
    const off_t sizes[] = {0, 55, about.st_size / 2};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        assert_int_equal(truncate(entry, sizes[i]), 0);
        expect(await(start(folder, "multiples")), 0, 1, 1);
    }
    expect(await(start(folder, "multiples")), 1, 0, 0);
}

static void test_a_foreign_entry_is_rebuilt(void **state)
{
    (void)state;
    const char *folder = fresh("foreign");
    char first[512], command[2100];
    expect(await(start(folder, "multiples")), 0, 1, 1);
    snprintf(first, sizeof first, "%s", only_entry(folder));
    /* the same program for another number of lanes, under the first one's name */
    assert_int_equal(rename(first, test_path("kept")), 0);
    setenv("MICRORWKV_LANES", "32", 1);
    expect(await(start(folder, "multiples")), 0, 1, 1);
    unsetenv("MICRORWKV_LANES");
    snprintf(command, sizeof command, "mv '%s' '%s'", only_entry(folder), first);
    assert_int_equal(system(command), 0);
    expect(await(start(folder, "multiples")), 0, 1, 1);
    expect(await(start(folder, "multiples")), 1, 0, 0);
}

static void test_a_folder_that_cannot_be_used_only_warns(void **state)
{
    (void)state;
    FILE *file = fopen(test_path("a-file"), "w");
    assert_non_null(file);
    fclose(file);
    struct outcome o = await(start(fresh("a-file"), "multiples"));
    expect(o, 0, 1, 0);
    assert_true(o.warnings >= 1);
    expect(await(start("/proc/none/here", "multiples")), 0, 1, 0);
}

static void test_nobody_waits_for_what_is_compiled_late(void **state)
{
    (void)state;
    mr_runtime *rt = rt_test_open();
    bool late = mr_compiles_late(rt);
    mr_runtime_close(rt);
    if (!late)
        skip();
    const char *folder = fresh("aside");
    char command[600];
    expect(await(start(folder, "aside multiples is_null")), 0, 1, 0);
    snprintf(command, sizeof command, "ls '%s'/*.bin >/dev/null 2>&1", folder);
    for (int i = 0; i < 1200 && system(command); i++)
        usleep(100000);
    expect(await(start(folder, "multiples is_null")), 1, 0, 0);
}

static void test_processes_at_once_leave_one_good_entry(void **state)
{
    (void)state;
    const char *folder = fresh("crowd");
    FILE *others[4];
    for (int i = 0; i < 4; i++)
        others[i] = start(folder, i % 2 ? "multiples" : "multiples is_null");
    for (int i = 0; i < 4; i++) {
        struct outcome o = await(others[i]);
        assert_int_equal(o.hits + o.builds, 1);
        assert_int_equal(o.warnings, 0);
    }
    only_entry(folder);
    expect(await(start(folder, "multiples")), 1, 0, 0);
}

static int prepare(void **state)
{
    (void)state;
    unsetenv("MICRORWKV_LIMITS");
    unsetenv("MICRORWKV_LANES");
    unsetenv("MICRORWKV_VEC");
    setenv("MICRORWKV_CACHE_DIR", test_path("own"), 1);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return child(argv + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_second_process_builds_nothing),
        cmocka_unit_test(test_entries_hold_machine_code),
        cmocka_unit_test(test_an_entry_grows_with_the_kernels_that_ran),
        cmocka_unit_test(test_a_broken_entry_is_rebuilt),
        cmocka_unit_test(test_a_foreign_entry_is_rebuilt),
        cmocka_unit_test(test_a_folder_that_cannot_be_used_only_warns),
        cmocka_unit_test(test_nobody_waits_for_what_is_compiled_late),
        cmocka_unit_test(test_processes_at_once_leave_one_good_entry),
    };
    return cmocka_run_group_tests(tests, prepare, test_cleanup);
}
