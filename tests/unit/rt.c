/* SPDX-License-Identifier: GPL-3.0-or-later
 * Tensors, launches and the profile of a device. */
#include "rt_test.h"

#include <CL/cl.h>
#include <dlfcn.h>

static mr_runtime *rt;

/* Takes the place of the library's, to fail when asked to. */
static bool waits_fail;
cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
    static cl_int (*library)(cl_uint, const cl_event *);
    if (!library)
        library = (cl_int(*)(cl_uint, const cl_event *))dlsym(RTLD_NEXT, "clWaitForEvents");
    cl_int status = library(count, events);
    return waits_fail ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : status;
}

static int open_runtime(void **state)
{
    (void)state;
    setenv("MICRORWKV_CACHE_DIR", test_path("cache"), 1);
    unsetenv("MICRORWKV_LIMITS");
    unsetenv("MICRORWKV_LANES");
    unsetenv("MICRORWKV_VEC");
    rt = rt_test_open();
    return 0;
}

static int close_runtime(void **state)
{
    mr_runtime_close(rt);
    return test_cleanup(state);
}

static void test_kernels_are_embedded_sorted_with_signatures(void **state)
{
    (void)state;
    assert_true(mr_kernels.kernel_count > 0 && mr_kernels.file_count > 0);
    for (int i = 0; i < mr_kernels.kernel_count; i++) {
        const struct mr_kernel *k = &mr_kernels.kernels[i];
        assert_true(i == 0 || strcmp(k[-1].name, k->name) < 0);
        assert_in_range(k->file, 0, mr_kernels.file_count - 1);
        assert_non_null(strstr(mr_kernels.files[k->file].source, k->name));
        assert_true(k->count > 0 && k->parameters[0].name[0]);
    }
    for (int i = 0; i < mr_kernels.file_count; i++) {
        assert_non_null(strstr(mr_kernels.files[i].source, "#line 1 \"cl/common.cl\"\n"));
        assert_non_null(strstr(mr_kernels.files[i].source, mr_kernels.files[i].name));
    }
}

static void test_write_and_read_parts(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 1000);
    float part[3] = {-1, -2, -3}, back[5];
    assert_ok(mr_write(rt, &t, 500, 3, part));
    assert_ok(mr_read(rt, &t, 499, 5, back));
    const float want[5] = {499, -1, -2, -3, 503};
    assert_memory_equal(back, want, sizeof want);
    mr_tensor_free(rt, &t);
    assert_null(t.mem);
    mr_tensor_free(rt, &t);
}

static void test_a_write_that_did_not_arrive_is_told(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 8);
    float x[8] = {0};
    int err = 0;
    waits_fail = true;
    for (int i = 0; i < 100 && !err; i++)
        err = mr_write(rt, &t, 0, 8, x);
    waits_fail = false;
    assert_int_equal(err, MR_EDEVICE);
    assert_non_null(strstr(mr_error_text(), "did not arrive"));
    for (int i = 0; i < 100; i++)
        assert_ok(mr_write(rt, &t, 0, 8, x));
    mr_tensor_free(rt, &t);
}

static void test_a_write_takes_the_data_at_once(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 64);
    for (int i = 0; i < 64; i++) {
        float x = (float)i * 3;
        assert_ok(mr_write(rt, &t, (size_t)i, 1, &x));
        x = -1;
    }
    for (size_t i = 0; i < 64; i++)
        assert_true(rt_test_at(rt, &t, i) == (float)i * 3);
    mr_tensor_free(rt, &t);
}

static void test_a_large_write_arrives(void **state)
{
    (void)state;
    size_t n = (5u << 20) / 4 + 1; /* more than is staged */
    mr_tensor t = rt_test_numbers(rt, n);
    assert_true(rt_test_at(rt, &t, n - 1) == (float)(n - 1));
    mr_tensor_free(rt, &t);
}

static void test_parts_out_of_range_fail(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 10), none = {0};
    float x[10];
    assert_fails(MR_EINVAL, "mr_read", mr_read(rt, &t, 5, 6, x));
    assert_fails(MR_EINVAL, "mr_write", mr_write(rt, &t, SIZE_MAX, 2, x));
    assert_fails(MR_EINVAL, "mr_copy to", mr_copy(rt, &t, 0, &t, 8, 3));
    assert_fails(MR_EINVAL, "no memory", mr_zero(rt, &none));
    mr_tensor_free(rt, &t);
}

static void test_impossible_sizes_fail(void **state)
{
    (void)state;
    mr_tensor t;
    assert_fails(MR_EINVAL, "0 elements", mr_tensor_alloc(rt, &t, MR_F32, 0));
    assert_fails(MR_EINVAL, "elements", mr_tensor_alloc(rt, &t, MR_F32, ((size_t)1 << 30) + 1));
    assert_null(t.mem);
}

static void test_views_show_the_same_memory(void **state)
{
    (void)state;
    size_t step = mr_runtime_info(rt)->base_align / 4;
    mr_tensor t = rt_test_numbers(rt, 8 * step), view, inner;
    assert_ok(mr_tensor_view(rt, &view, &t, 2 * step, 4 * step));
    assert_ok(mr_tensor_view(rt, &inner, &view, step, 2 * step));
    assert_int_equal(view.count, 4 * step);
    assert_true(rt_test_at(rt, &view, 0) == (float)(2 * step));
    assert_true(rt_test_at(rt, &inner, 1) == (float)(3 * step + 1));
    float x = -5;
    assert_ok(mr_write(rt, &inner, 0, 1, &x));
    assert_true(rt_test_at(rt, &t, 3 * step) == -5);
    assert_ok(mr_zero(rt, &inner));
    assert_true(rt_test_at(rt, &t, 5 * step - 1) == 0);
    assert_true(rt_test_at(rt, &t, 5 * step) == (float)(5 * step));
    mr_tensor_free(rt, &inner);
    mr_tensor_free(rt, &view);
    mr_tensor_free(rt, &t);
}

static void test_misaligned_and_empty_views_fail(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 4096), view;
    if (mr_runtime_info(rt)->base_align > 4)
        assert_fails(MR_EINVAL, "multiples of", mr_tensor_view(rt, &view, &t, 1, 8));
    assert_fails(MR_EINVAL, "views begin", mr_tensor_view(rt, &view, &t, 0, 0));
    assert_fails(MR_EINVAL, "elements 0 to 4097", mr_tensor_view(rt, &view, &t, 0, 4097));
    mr_tensor_free(rt, &t);
}

static void test_copy_moves_a_part(void **state)
{
    (void)state;
    mr_tensor from = rt_test_numbers(rt, 100), to = rt_test_numbers(rt, 100);
    assert_ok(mr_copy(rt, &from, 10, &to, 50, 20));
    assert_true(rt_test_at(rt, &to, 49) == 49 && rt_test_at(rt, &to, 50) == 10);
    assert_true(rt_test_at(rt, &to, 69) == 29 && rt_test_at(rt, &to, 70) == 70);
    mr_tensor_free(rt, &from);
    mr_tensor_free(rt, &to);
}

static void test_mapped_memory_is_the_tensors(void **state)
{
    (void)state;
    mr_tensor t = rt_test_numbers(rt, 1000);
    void *host;
    assert_ok(mr_tensor_map(rt, &t, 100, 50, true, &host));
    for (int i = 0; i < 50; i++)
        ((float *)host)[i] = -7;
    assert_ok(mr_tensor_unmap(rt, &t, host));
    assert_true(rt_test_at(rt, &t, 99) == 99 && rt_test_at(rt, &t, 100) == -7);
    assert_true(rt_test_at(rt, &t, 149) == -7 && rt_test_at(rt, &t, 150) == 150);
    assert_ok(mr_tensor_map(rt, &t, 149, 2, false, &host));
    assert_true(((float *)host)[0] == -7 && ((float *)host)[1] == 150);
    assert_ok(mr_tensor_unmap(rt, &t, host));
    mr_tensor_free(rt, &t);
}

static void test_bytes_are_counted_without_views(void **state)
{
    (void)state;
    size_t before, now, peak;
    mr_device_bytes(rt, &before, NULL);
    mr_tensor t, view;
    assert_ok(mr_tensor_alloc(rt, &t, MR_I32, 5000));
    assert_ok(mr_tensor_view(rt, &view, &t, 0, 1000));
    mr_device_bytes(rt, &now, &peak);
    assert_int_equal(now - before, 20000);
    assert_true(peak >= now);
    mr_tensor_free(rt, &view);
    mr_device_bytes(rt, &now, NULL);
    assert_int_equal(now - before, 20000);
    mr_tensor_free(rt, &t);
    mr_device_bytes(rt, &now, NULL);
    assert_int_equal(now, before);
}

static void test_a_launch_computes(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 1001), y = rt_test_numbers(rt, 1001);
    assert_ok(mr_launch(rt, "multiples", mr_items(rt, 1000), mr_in(&x), mr_out(&y), mr_int(1000), mr_float(0.5f)));
    assert_true(rt_test_at(rt, &y, 999) == 1998.5f && rt_test_at(rt, &y, 1000) == 1000);
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
}

static void test_defines_make_variants(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 8), y = rt_test_numbers(rt, 8);
    struct mr_range range = mr_items(rt, 8);
    for (int repeat = 0; repeat < 2; repeat++) {
        range.defines = "-DFACTOR=3";
        assert_ok(mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8), mr_float(0)));
        assert_true(rt_test_at(rt, &y, 5) == 15);
        range.defines = "-DFACTOR=4";
        assert_ok(mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8), mr_float(0)));
        assert_true(rt_test_at(rt, &y, 5) == 20);
    }
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
}

static void test_ranges_of_three_dimensions_and_scalars(void **state)
{
    (void)state;
    mr_tensor y;
    struct mr_range range = {{5, 3, 2}, 4, NULL};
    assert_ok(mr_tensor_alloc(rt, &y, MR_I32, 4 * 5 * 3 * 2));
    assert_ok(mr_launch(rt, "places", range, mr_out(&y), mr_uint(1), mr_ulong((uint64_t)7 << 32)));
    int32_t got[120];
    assert_ok(mr_read(rt, &y, 0, 120, got));
    for (int i = 0; i < 120; i++)
        assert_int_equal(got[i], i + 8);
    mr_tensor_free(rt, &y);
}

static void test_no_tensor_passes_null(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 4), none = {0}, y;
    int32_t answer;
    struct mr_range range = {{1, 1, 1}, 1, NULL};
    assert_ok(mr_tensor_alloc(rt, &y, MR_I32, 1));
    const mr_tensor *const given[] = {NULL, &none, &x};
    for (int i = 0; i < 3; i++) {
        assert_ok(mr_launch(rt, "is_null", range, mr_in(given[i]), mr_out(&y)));
        assert_ok(mr_read(rt, &y, 0, 1, &answer));
        assert_int_equal(answer, i < 2);
    }
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
}

static void test_wrong_arguments_are_named(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 4), i;
    assert_ok(mr_tensor_alloc(rt, &i, MR_I32, 4));
    struct mr_range r = mr_items(rt, 4);
    assert_fails(MR_EINVAL, "multiples: 3 arguments passed, but the kernel takes 4",
                 mr_launch(rt, "multiples", r, mr_in(&x), mr_out(&x), mr_int(4)));
    assert_fails(MR_EINVAL, "multiples: argument 3 'n' is a `int`: pass mr_int, not mr_float",
                 mr_launch(rt, "multiples", r, mr_in(&x), mr_out(&x), mr_float(4), mr_float(0)));
    assert_fails(MR_EINVAL, "argument 1 'x' is a `global const float *`: pass mr_in, not mr_out",
                 mr_launch(rt, "multiples", r, mr_out(&x), mr_out(&x), mr_int(4), mr_float(0)));
    assert_fails(MR_EINVAL, "argument 2 'y' is a `global float *`: pass mr_out, not mr_in",
                 mr_launch(rt, "multiples", r, mr_in(&x), mr_in(&x), mr_int(4), mr_float(0)));
    assert_fails(MR_EINVAL, "argument 1 'x' is a `global const float *`, but the tensor holds integers",
                 mr_launch(rt, "multiples", r, mr_in(&i), mr_out(&x), mr_int(4), mr_float(0)));
    assert_fails(MR_EINVAL, "no file in cl/ defines kernel 'multiple'", mr_launch(rt, "multiple", r, mr_in(&x)));
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &i);
}

static void test_a_kernel_has_one_local_size(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 4);
    struct mr_range r = {{1, 1, 1}, mr_runtime_info(rt)->max_group + 1, "-DFACTOR=5"};
    assert_fails(MR_EINVAL, "allows 1 to",
                 mr_launch(rt, "multiples", r, mr_in(&x), mr_out(&x), mr_int(4), mr_float(0)));
    r.local_size = 2;
    assert_ok(mr_launch(rt, "multiples", r, mr_in(&x), mr_out(&x), mr_int(4), mr_float(0)));
    r.local_size = 4;
    assert_fails(MR_EINVAL, "work-groups of 4 work-items, but of 2 in an earlier launch",
                 mr_launch(rt, "multiples", r, mr_in(&x), mr_out(&x), mr_int(4), mr_float(0)));
    mr_tensor_free(rt, &x);
}

static void test_a_kernel_of_too_much_local_memory_is_refused(void **state)
{
    (void)state;
    setenv("MICRORWKV_LIMITS", "local=8K", 1);
    mr_runtime *small = rt_test_open();
    unsetenv("MICRORWKV_LIMITS");
    mr_tensor y = rt_test_numbers(small, 4);
    assert_fails(MR_EDEVICE, "greedy: needs", mr_launch(small, "greedy", mr_rows(small, 1), mr_out(&y)));
    mr_tensor_free(small, &y);
    mr_runtime_close(small);
}

/* y = 2 x + 1, then x = y, kept: each time they go on from what is there. */
static void test_a_recording_is_made_again(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 8), y = rt_test_numbers(rt, 8);
    struct mr_range range = mr_items(rt, 8), once = range;
    once.defines = "-DFACTOR=1.0f";
    float before = rt_test_at(rt, &x, 3);
    assert_ok(mr_record_begin(rt));
    assert_fails(MR_EINVAL, "running already", mr_record_begin(rt));
    assert_ok(mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8), mr_float(1)));
    assert_ok(mr_launch(rt, "multiples", once, mr_in(&y), mr_out(&x), mr_int(8), mr_float(0)));
    mr_recording *recording = mr_record_end(rt);
    assert_non_null(recording);
    assert_ok(mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8), mr_float(100))); /* other numbers */
    for (int i = 0; i < 2; i++)
        assert_ok(mr_replay(rt, recording));
    assert_true(rt_test_at(rt, &x, 3) == 8 * before + 7);
    mr_recording_free(recording);
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
}

static void test_what_is_no_launch_spoils_a_recording(void **state)
{
    (void)state;
    mr_tensor x = rt_test_numbers(rt, 8), y = rt_test_numbers(rt, 8);
    struct mr_range range = mr_items(rt, 8);
    for (int i = 0; i < 2; i++) {
        assert_ok(mr_record_begin(rt));
        assert_ok(mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8), mr_float(1)));
        if (i == 0)
            assert_ok(mr_zero(rt, &y));
        else
            assert_fails(MR_EINVAL, "3 arguments passed",
                         mr_launch(rt, "multiples", range, mr_in(&x), mr_out(&y), mr_int(8)));
        assert_null(mr_record_end(rt));
    }
    mr_tensor_free(rt, &x);
    mr_tensor_free(rt, &y);
}

static void test_a_build_error_names_file_and_line(void **state)
{
    (void)state;
    mr_tensor y = rt_test_numbers(rt, 4);
    for (int repeat = 0; repeat < 2; repeat++) {
        assert_fails(MR_EDEVICE, "cl/wrong.cl", mr_launch(rt, "wrong", mr_rows(rt, 1), mr_out(&y)));
        assert_non_null(strstr(mr_error_text(), "nothing_of_this_name"));
        assert_non_null(strstr(mr_error_text(), "wrong.cl:3"));
    }
    mr_tensor_free(rt, &y);
}

static void test_profile_sums_calls_and_work(void **state)
{
    (void)state;
    mr_runtime *timed = rt_test_open();
    assert_ok(mr_profile_start(timed));
    mr_tensor x = rt_test_numbers(timed, 100000), y = rt_test_numbers(timed, 100000);
    for (int i = 0; i < 1500; i++) {
        mr_profile_note(timed, 800, 200);
        assert_ok(mr_launch(timed, "multiples", mr_items(timed, 100), mr_in(&x), mr_out(&y), mr_int(100), mr_float(0)));
    }
    assert_ok(mr_launch(timed, "multiples", mr_items(timed, 100), mr_in(&x), mr_out(&y), mr_int(100), mr_float(0)));
    assert_ok(mr_copy(timed, &x, 0, &y, 0, 100000));
    struct mr_profile_row *rows;
    int count, seen = 0;
    assert_ok(mr_profile_rows(timed, &rows, &count));
    for (int i = 0; i < count; i++) {
        assert_true(i == 0 || rows[i - 1].seconds >= rows[i].seconds);
        if (!strcmp(rows[i].kernel, "multiples")) {
            assert_int_equal(rows[i].calls, 1501);
            assert_true(rows[i].bytes == 1500 * 800 && rows[i].flops == 1500 * 200 && rows[i].seconds > 0);
            seen |= 1;
        } else if (!strcmp(rows[i].kernel, "(copy)")) {
            assert_true(rows[i].calls == 1 && rows[i].bytes == 800000);
            seen |= 2;
        }
    }
    assert_int_equal(seen, 3);
    free(rows);
    mr_tensor_free(timed, &x);
    mr_tensor_free(timed, &y);
    mr_runtime_close(timed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_are_embedded_sorted_with_signatures),
        cmocka_unit_test(test_write_and_read_parts),
        cmocka_unit_test(test_a_write_that_did_not_arrive_is_told),
        cmocka_unit_test(test_a_write_takes_the_data_at_once),
        cmocka_unit_test(test_a_large_write_arrives),
        cmocka_unit_test(test_parts_out_of_range_fail),
        cmocka_unit_test(test_impossible_sizes_fail),
        cmocka_unit_test(test_views_show_the_same_memory),
        cmocka_unit_test(test_misaligned_and_empty_views_fail),
        cmocka_unit_test(test_copy_moves_a_part),
        cmocka_unit_test(test_mapped_memory_is_the_tensors),
        cmocka_unit_test(test_bytes_are_counted_without_views),
        cmocka_unit_test(test_a_launch_computes),
        cmocka_unit_test(test_defines_make_variants),
        cmocka_unit_test(test_ranges_of_three_dimensions_and_scalars),
        cmocka_unit_test(test_no_tensor_passes_null),
        cmocka_unit_test(test_wrong_arguments_are_named),
        cmocka_unit_test(test_a_kernel_has_one_local_size),
        cmocka_unit_test(test_a_kernel_of_too_much_local_memory_is_refused),
        cmocka_unit_test(test_a_recording_is_made_again),
        cmocka_unit_test(test_what_is_no_launch_spoils_a_recording),
        cmocka_unit_test(test_a_build_error_names_file_and_line),
        cmocka_unit_test(test_profile_sums_calls_and_work),
    };
    return cmocka_run_group_tests(tests, open_runtime, close_runtime);
}
