/* SPDX-License-Identifier: GPL-3.0-or-later
 * The list of devices, the choice of one, and the limits from the environment. The loader of OpenCL reads its
 * environment once, so what concerns it runs in this program started again with an argument. */
#include "rt_test.h"

#include <strings.h>
#include <sys/wait.h>

static struct mr_device_info *real; /* the devices of this machine */
static int real_count;

static int list_devices(void **state)
{
    (void)state;
    setenv("MICRORWKV_CACHE_DIR", test_path("cache"), 1);
    unsetenv("MICRORWKV_LIMITS");
    unsetenv("MICRORWKV_LANES");
    unsetenv("MICRORWKV_VEC");
    return mr_device_list(&real, &real_count);
}

static int forget_devices(void **state)
{
    free(real);
    return test_cleanup(state);
}

static void test_devices_have_names_and_limits(void **state)
{
    (void)state;
    assert_true(real_count > 0);
    for (int i = 0; i < real_count; i++) {
        const struct mr_device_info *d = &real[i];
        assert_int_equal(d->index, i);
        assert_true(*d->name && *d->platform && *d->driver && *d->version);
        assert_true(d->compute_units > 0 && d->memory > 0 && d->max_alloc > 0 && d->local_memory > 0);
        assert_true(d->lanes >= 1 && (size_t)d->lanes <= d->max_group && !(d->lanes & (d->lanes - 1)));
        assert_true(d->vec == 4 || d->vec == 8 || d->vec == 16);
        if (d->local_is_memory)
            assert_true(d->lanes == 1 && d->vec >= 8);
    }
}

/* Devices as they might be: a CPU, a GPU inside it, a GPU of its own memory, another CPU. */
static const struct mr_found_device fleet[] = {
    {.info = {.index = 0,
              .platform = "Portable Computing Language",
              .name = "pthread-EPYC",
              .vendor = "AuthenticAMD",
              .is_cpu = true,
              .shares_host_memory = true,
              .compute_units = 64,
              .clock_mhz = 4000}},
    {.info = {.index = 1,
              .platform = "Intel OpenCL Graphics",
              .name = "UHD 630",
              .vendor = "Intel",
              .is_gpu = true,
              .shares_host_memory = true,
              .compute_units = 24,
              .clock_mhz = 1000}},
    {.info = {.index = 2,
              .platform = "AMD APP",
              .name = "gfx1030",
              .vendor = "Advanced Micro Devices",
              .is_gpu = true,
              .compute_units = 20,
              .clock_mhz = 900}},
    {.info = {.index = 3,
              .platform = "Intel OpenCL",
              .name = "EPYC",
              .vendor = "Intel",
              .is_cpu = true,
              .compute_units = 64,
              .clock_mhz = 0}},
};

static void expect_choice(const char *selector, int count, int index)
{
    const struct mr_found_device *found = mr_device_choose(fleet, count, selector);
    if (!found)
        fail_msg("'%s' chooses nothing: %s", selector, mr_error_text());
    assert_int_equal(found->info.index, index);
}

static void test_default_is_the_fastest_gpu_before_cpu(void **state)
{
    (void)state;
    expect_choice("", 1, 0);
    expect_choice("", 2, 1);
    expect_choice("", 4, 2);
}

static void test_choice_by_kind(void **state)
{
    (void)state;
    expect_choice("cpu", 4, 0);
    expect_choice("gpu", 4, 2);
    expect_choice("cuda", 4, 2);
    expect_choice("cuda:1", 2, 1);
    expect_choice("GPU", 4, 2);
}

static void test_choice_by_index(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        expect_choice((char[]){(char)('0' + i), 0}, 4, i);
}

static void test_choice_by_part_of_a_name_in_any_case(void **state)
{
    (void)state;
    expect_choice("PTHREAD", 4, 0);
    expect_choice("intel", 4, 1);
    expect_choice("micro dev", 4, 2);
    expect_choice("app", 4, 2);
    expect_choice("portable", 4, 0);
    expect_choice("epyc", 4, 0);
}

static void test_a_missing_device_names_what_there_is(void **state)
{
    (void)state;
    static const char *const missing[] = {"4", "99999999999999999999", "gpu", "cuda", "nvidia"};
    for (size_t i = 0; i < COUNT(missing); i++) {
        assert_null(mr_device_choose(fleet, 1, missing[i]));
        assert_non_null(strstr(mr_error_text(), missing[i]));
        assert_non_null(strstr(mr_error_text(), "0 'pthread-EPYC' (Portable Computing Language, CPU)"));
    }
    mr_runtime *rt;
    assert_fails(MR_ENODEV, real[0].name, mr_runtime_open(&rt, "no such device"));
    assert_null(rt);
}

static void test_the_environment_chooses_unless_the_caller_does(void **state)
{
    (void)state;
    const char *old = getenv("MICRORWKV_DEVICE");
    char *kept = old ? strdup(old) : NULL;
    mr_runtime *rt;
    setenv("MICRORWKV_DEVICE", "no such device", 1);
    assert_fails(MR_ENODEV, "no such device", mr_runtime_open(&rt, NULL));
    assert_ok(mr_runtime_open(&rt, "0"));
    assert_int_equal(mr_runtime_info(rt)->index, 0);
    mr_runtime_close(rt);
    setenv("MICRORWKV_DEVICE", "0", 1);
    assert_ok(mr_runtime_open(&rt, NULL));
    mr_runtime_close(rt);
    unsetenv("MICRORWKV_DEVICE");
    if (kept)
        setenv("MICRORWKV_DEVICE", kept, 1);
    free(kept);
}

static void test_limits_lower_what_is_believed(void **state)
{
    (void)state;
    struct mr_device_info *list;
    int count;
    setenv("MICRORWKV_LIMITS", "local=4K,group=8,alloc=3m", 1);
    assert_ok(mr_device_list(&list, &count));
    unsetenv("MICRORWKV_LIMITS");
    for (int i = 0; i < count; i++) {
        assert_int_equal(list[i].local_memory, 4096);
        assert_int_equal(list[i].max_group, 8);
        assert_int_equal(list[i].max_alloc, 3 << 20);
    }
    free(list);
}

static void test_impossible_limits_say_so(void **state)
{
    (void)state;
    static const char *const impossible[] = {
        "local=0",
        "local=10000G",
        "group=0",
        "group=1T",
        "alloc=99999T",
        "alloc=1",
        "alloc=99999999999999999999G",
        "local=",
        "local=K",
        "local=-1",
        "local=4X",
        "memory=1G",
        "local=32KK",
        "group",
        "local=32K,,",
        ",",
        "local = 32K",
    };
    for (size_t i = 0; i < COUNT(impossible); i++) {
        struct mr_device_info *list;
        int count;
        setenv("MICRORWKV_LIMITS", impossible[i], 1);
        int result = mr_device_list(&list, &count);
        if (result != MR_ENODEV || !strstr(mr_error_text(), "MICRORWKV_LIMITS"))
            fail_msg("'%s' gives %d: %s", impossible[i], result, mr_error_text());
        assert_null(list);
    }
    unsetenv("MICRORWKV_LIMITS");
}

static void test_lanes_can_be_set(void **state)
{
    (void)state;
    static const char *const impossible[] = {"0", "3", "-1", "x", "512", "32K", "99999999999999999999"};
    struct mr_device_info *list;
    int count;
    setenv("MICRORWKV_LANES", "32", 1);
    assert_ok(mr_device_list(&list, &count));
    for (int i = 0; i < count; i++)
        assert_true(list[i].lanes == 32 && list[i].vec == 4);
    free(list);
    for (size_t i = 0; i < COUNT(impossible); i++) {
        setenv("MICRORWKV_LANES", impossible[i], 1);
        assert_fails(MR_ENODEV, "MICRORWKV_LANES", mr_device_list(&list, &count));
    }
    setenv("MICRORWKV_LANES", "64", 1);
    setenv("MICRORWKV_LIMITS", "group=32", 1);
    assert_fails(MR_ENODEV, "MICRORWKV_LANES=64 is too large", mr_device_list(&list, &count));
    unsetenv("MICRORWKV_LANES");
    unsetenv("MICRORWKV_LIMITS");
}

static void test_the_vector_width_can_be_set(void **state)
{
    (void)state;
    static const char *const impossible[] = {"0", "1", "2", "12", "32", "x", "-8"};
    struct mr_device_info *list;
    int count;
    setenv("MICRORWKV_VEC", "8", 1);
    for (int lanes = 1; lanes <= 8; lanes *= 8) {
        setenv("MICRORWKV_LANES", lanes == 1 ? "1" : "8", 1);
        assert_ok(mr_device_list(&list, &count));
        for (int i = 0; i < count; i++)
            assert_true(list[i].lanes == lanes && list[i].vec == 8);
        free(list);
    }
    unsetenv("MICRORWKV_LANES");
    for (size_t i = 0; i < COUNT(impossible); i++) {
        setenv("MICRORWKV_VEC", impossible[i], 1);
        assert_fails(MR_ENODEV, "MICRORWKV_VEC", mr_device_list(&list, &count));
    }
    unsetenv("MICRORWKV_VEC");
}

static void test_ranges_follow_the_lanes(void **state)
{
    (void)state;
    setenv("MICRORWKV_LANES", "32", 1);
    mr_runtime *rt = rt_test_open();
    unsetenv("MICRORWKV_LANES");
    assert_true(mr_rows(rt, 7).groups[0] == 7 && mr_rows(rt, 7).local_size == 32);
    assert_true(mr_items(rt, 1).groups[0] == 1 && mr_items(rt, 33).groups[0] == 2);
    assert_in_range(mr_items(rt, (size_t)1 << 30).groups[0], 2, 1 << 20);
    mr_runtime_close(rt);
}

/* This program again, as "child WHAT" with the environment's additions; its exit status. */
static int run_child(const char *environment, const char *what)
{
    char self[512], command[2048];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = 0;
    snprintf(command, sizeof command, "%s '%s' child %s", environment, self, what);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int child(void)
{
    struct mr_device_info *list;
    int count;
    mr_runtime *rt;
    if (mr_device_list(&list, &count) != MR_ENODEV || list || count || !strstr(mr_error_text(), "install"))
        return 1;
    return mr_runtime_open(&rt, NULL) == MR_ENODEV && !rt ? 0 : 2;
}

static void test_no_platform_says_what_to_install(void **state)
{
    (void)state;
    char environment[512];
    assert_int_equal(mkdir(test_path("none"), 0700), 0);
    snprintf(environment, sizeof environment, "OCL_ICD_VENDORS=%s/ OCL_ICD_FILENAMES= OPENCL_VENDOR_PATH=%s",
             test_path("none"), test_path("none"));
    assert_int_equal(run_child(environment, "none"), 0);
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return child();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_devices_have_names_and_limits),
        cmocka_unit_test(test_default_is_the_fastest_gpu_before_cpu),
        cmocka_unit_test(test_choice_by_kind),
        cmocka_unit_test(test_choice_by_index),
        cmocka_unit_test(test_choice_by_part_of_a_name_in_any_case),
        cmocka_unit_test(test_a_missing_device_names_what_there_is),
        cmocka_unit_test(test_the_environment_chooses_unless_the_caller_does),
        cmocka_unit_test(test_limits_lower_what_is_believed),
        cmocka_unit_test(test_impossible_limits_say_so),
        cmocka_unit_test(test_lanes_can_be_set),
        cmocka_unit_test(test_the_vector_width_can_be_set),
        cmocka_unit_test(test_ranges_follow_the_lanes),
        cmocka_unit_test(test_no_platform_says_what_to_install),
    };
    return cmocka_run_group_tests(tests, list_devices, forget_devices);
}
