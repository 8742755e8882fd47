/* SPDX-License-Identifier: GPL-3.0-or-later
 * Weights in their formats on the device: sizes, rows there and back, what is refused. */
#include "rt_test.h"

static mr_runtime *rt;

static int open_runtime(void **state)
{
    (void)state;
    setenv("MICRORWKV_CACHE_DIR", test_path("cache"), 1);
    unsetenv("MICRORWKV_LIMITS");
    unsetenv("MICRORWKV_LANES");
    rt = rt_test_open();
    return 0;
}

static int close_runtime(void **state)
{
    mr_runtime_close(rt);
    return test_cleanup(state);
}

static void test_bytes_follow_from_the_format(void **state)
{
    (void)state;
    static const size_t bytes[MR_ELEMENTS] = {4 * 64, 4 * 64, 2 * 64, 2 * 64, 2 * 34, 2 * 24, 2 * 22, 2 * 20, 2 * 18};
    static const char *const names[] = {"f32", "i32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"};
    for (enum mr_element format = 0; format < MR_ELEMENTS; format++) {
        size_t got = mr_element_bytes(format, 64);
        assert_string_equal(mr_element_name(format), names[format]);
        assert_true(got == bytes[format] ||
                    (mr_is_weights(format) && got > bytes[format] && got < bytes[format] + 128));
        mr_tensor t;
        size_t before, now;
        mr_device_bytes(rt, &before, NULL);
        assert_ok(mr_tensor_alloc(rt, &t, format, 64));
        mr_device_bytes(rt, &now, NULL);
        assert_int_equal(now - before, got);
        mr_tensor_free(rt, &t);
        mr_device_bytes(rt, &now, NULL);
        assert_int_equal(now, before);
    }
    mr_tensor t;
    assert_fails(MR_EINVAL, "blocks", mr_tensor_alloc(rt, &t, MR_Q4_0, 33));
}

static uint8_t *random_bytes(size_t n)
{
    uint8_t *p = malloc(n);
    uint32_t x = 12345;
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    return p;
}

/* Rows in pieces, of all sizes of last panels, for a CPU and for a GPU. */
static void test_rows_there_and_back(void **state)
{
    (void)state;
    static const char *const lanes[] = {"1", "32", "256"};
    static const size_t sizes[][2] = {{1, 32}, {300, 64}, {513, 96}, {17, 160}, {256, 32}};
    for (int l = 0; l < 3; l++) {
        setenv("MICRORWKV_LANES", lanes[l], 1);
        mr_runtime *device = rt_test_open();
        unsetenv("MICRORWKV_LANES");
        for (enum mr_element format = 0; format < MR_ELEMENTS; format++)
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                size_t n = sizes[i][0], k = sizes[i][1] + (mr_element_block(format) == 1 ? i : 0);
                size_t row = k / mr_element_block(format) * mr_element_block_bytes(format);
                uint8_t *rows = random_bytes(n * row), *back = random_bytes(n * row);
                mr_tensor t;
                assert_ok(mr_tensor_alloc(device, &t, format, n * k));
                for (size_t r = 0, piece; r < n; r += piece) {
                    piece = n - r < MR_ROWS_TOGETHER ? n - r : MR_ROWS_TOGETHER;
                    assert_ok(mr_write_rows(device, &t, k, r, piece, rows + r * row));
                }
                assert_ok(mr_read_rows(device, &t, k, 0, n, back));
                assert_memory_equal(rows, back, n * row);
                if (n > MR_ROWS_TOGETHER) {
                    assert_ok(mr_read_rows(device, &t, k, MR_ROWS_TOGETHER, n - MR_ROWS_TOGETHER, back));
                    assert_memory_equal(rows + MR_ROWS_TOGETHER * row, back, (n - MR_ROWS_TOGETHER) * row);
                }
                mr_tensor_free(device, &t);
                free(rows), free(back);
            }
        mr_runtime_close(device);
    }
}

static void test_wrong_rows_and_parts_are_refused(void **state)
{
    (void)state;
    mr_tensor t, view, other;
    static uint8_t host[600 * 34];
    assert_ok(mr_tensor_alloc(rt, &t, MR_Q8_0, 600 * 32));
    assert_ok(mr_tensor_alloc(rt, &other, MR_Q4_0, 600 * 32));
    assert_fails(MR_EINVAL, "multiple of 32", mr_write_rows(rt, &t, 48, 0, 400, host));
    assert_fails(MR_EINVAL, "rows 1 to 257", mr_write_rows(rt, &t, 32, 1, 256, host));
    assert_fails(MR_EINVAL, "rows 0 to 100", mr_write_rows(rt, &t, 32, 0, 100, host));
    assert_fails(MR_EINVAL, "of 600", mr_read_rows(rt, &t, 32, 512, 100, host));
    assert_fails(MR_EINVAL, "interleaved", mr_tensor_view(rt, &view, &t, 0, 64 * 32));
    assert_fails(MR_EINVAL, "interleaved", mr_read(rt, &t, 32, 32, host));
    assert_fails(MR_EINVAL, "from q8_0 to q4_0", mr_copy(rt, &t, 0, &other, 0, 600 * 32));
    assert_ok(mr_tensor_view(rt, &view, &t, 0, 600 * 32));
    assert_int_equal(view.dtype, MR_Q8_0);
    assert_ok(mr_zero(rt, &view));
    assert_ok(mr_read_rows(rt, &t, 32, 0, 600, host));
    for (size_t i = 0; i < sizeof host; i++)
        assert_int_equal(host[i], 0);
    mr_tensor_free(rt, &view);
    mr_tensor_free(rt, &t);
    mr_tensor_free(rt, &other);
}

static void test_whole_tensors_are_copied(void **state)
{
    (void)state;
    mr_tensor from, to;
    uint8_t *rows = random_bytes(40 * 18), *back = random_bytes(40 * 18);
    assert_ok(mr_tensor_alloc(rt, &from, MR_Q4_0, 40 * 32));
    assert_ok(mr_tensor_alloc(rt, &to, MR_Q4_0, 40 * 32));
    assert_ok(mr_write_rows(rt, &from, 32, 0, 40, rows));
    assert_ok(mr_copy(rt, &from, 0, &to, 0, 40 * 32));
    assert_ok(mr_read_rows(rt, &to, 32, 0, 40, back));
    assert_memory_equal(rows, back, 40 * 18);
    mr_tensor_free(rt, &from);
    mr_tensor_free(rt, &to);
    free(rows), free(back);
}

static void test_a_kernel_of_floats_takes_no_weights(void **state)
{
    (void)state;
    mr_tensor w, y = rt_test_numbers(rt, 64);
    assert_ok(mr_tensor_alloc(rt, &w, MR_BF16, 64));
    assert_fails(MR_EINVAL, "the tensor holds bf16",
                 mr_launch(rt, "multiples", mr_items(rt, 4), mr_in(&w), mr_out(&y), mr_int(4), mr_float(0)));
    mr_tensor_free(rt, &w);
    mr_tensor_free(rt, &y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_follow_from_the_format),        cmocka_unit_test(test_rows_there_and_back),
        cmocka_unit_test(test_wrong_rows_and_parts_are_refused),    cmocka_unit_test(test_whole_tensors_are_copied),
        cmocka_unit_test(test_a_kernel_of_floats_takes_no_weights),
    };
    return cmocka_run_group_tests(tests, open_runtime, close_runtime);
}
