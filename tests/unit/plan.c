/* SPDX-License-Identifier: GPL-3.0-or-later
 * Plans of memory: sizes and places without a device, then the arena on one. */
#include "rt_test.h"

#include "rt/host_memory.h"
#include "rt/plan.h"

static int prepare(void **state)
{
    (void)state;
    setenv("MICRORWKV_CACHE_DIR", test_path("cache"), 1);
    unsetenv("MICRORWKV_LIMITS");
    unsetenv("MICRORWKV_LANES");
    unsetenv("MICRORWKV_VEC");
    return 0;
}

static mr_plan *new_plan(const struct mr_device_info *info)
{
    mr_plan *plan;
    assert_ok(mr_plan_create(&plan, info));
    return plan;
}

static void test_tensors_are_padded_to_the_alignment(void **state)
{
    (void)state;
    mr_plan *plan = new_plan(NULL);
    mr_tensor a, b, c;
    assert_ok(mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, 1));
    assert_int_equal(mr_plan_bytes(plan, MR_PARAMETERS), 256);
    assert_ok(mr_plan_add(plan, MR_PARAMETERS, &b, MR_I32, 65));
    assert_int_equal(mr_plan_bytes(plan, MR_PARAMETERS), 256 + 512);
    assert_ok(mr_plan_add(plan, MR_STATE, &c, MR_F32, 64));
    assert_int_equal(mr_plan_bytes(plan, MR_STATE), 256);
    assert_int_equal(mr_plan_bytes(plan, MR_PARAMETERS), 256 + 512);
    assert_int_equal(mr_plan_bytes(plan, MR_SCRATCH), 0);
    mr_plan_free(plan);
}

static void test_the_devices_alignment_is_kept(void **state)
{
    (void)state;
    mr_plan *plan = new_plan(&(struct mr_device_info){.base_align = 4096, .max_alloc = 1 << 30});
    mr_tensor a;
    assert_ok(mr_plan_add(plan, MR_BUFFERS, &a, MR_F32, 1));
    assert_ok(mr_plan_add(plan, MR_BUFFERS, &a, MR_F32, 1025));
    assert_int_equal(mr_plan_bytes(plan, MR_BUFFERS), 4096 + 8192);
    mr_plan_free(plan);
}

static void test_nothing_asked_for_takes_nothing(void **state)
{
    (void)state;
    mr_plan *plan = new_plan(NULL);
    mr_tensor a = {.count = 5};
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &a, MR_F32, 0));
    assert_int_equal(mr_plan_bytes(plan, MR_SCRATCH), 0);
    assert_int_equal(a.count, 0);
    mr_plan_free(plan);
    mr_plan_free(NULL);
}

static void test_scratch_overlays_after_a_reset(void **state)
{
    (void)state;
    mr_plan *plan = new_plan(NULL);
    mr_tensor a, b, c;
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &a, MR_F32, 64));
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &b, MR_F32, 64));
    mr_plan_overlay(plan, MR_SCRATCH);
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &c, MR_F32, 64 * 3));
    assert_int_equal(mr_plan_bytes(plan, MR_SCRATCH), 64 * 3 * 4);
    mr_plan_overlay(plan, MR_SCRATCH);
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &c, MR_F32, 10));
    assert_int_equal(mr_plan_bytes(plan, MR_SCRATCH), 64 * 3 * 4);
    mr_plan_free(plan);
}

static void test_what_others_allocate_is_counted(void **state)
{
    (void)state;
    mr_plan *plan = new_plan(NULL);
    mr_tensor a;
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &a, MR_F32, 64));
    mr_plan_count(plan, MR_SCRATCH, 1000);
    assert_int_equal(mr_plan_bytes(plan, MR_SCRATCH), 64 * 4 + 1000);
    mr_plan_free(plan);
}

static void test_a_tensor_larger_than_a_segment_fails(void **state)
{
    (void)state;
    mr_tensor a;
    mr_plan *plan = new_plan(NULL);
    assert_ok(mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, (size_t)1 << 30));
    assert_ok(mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, (size_t)1 << 30));
    assert_int_equal(mr_plan_bytes(plan, MR_PARAMETERS), (size_t)1 << 33);
    assert_fails(MR_ENOMEM, "parameters", mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, ((size_t)1 << 30) + 1));
    assert_fails(MR_ENOMEM, "elements", mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, SIZE_MAX));
    mr_plan_free(plan);
    plan = new_plan(&(struct mr_device_info){.base_align = 128, .max_alloc = 1000});
    assert_ok(mr_plan_add(plan, MR_STATE, &a, MR_F32, 192));
    assert_fails(MR_ENOMEM, "192 elements", mr_plan_add(plan, MR_STATE, &a, MR_F32, 193));
    mr_plan_free(plan);
}

static void test_every_kind_has_a_name(void **state)
{
    (void)state;
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++)
        assert_true(mr_memory_name(kind) && *mr_memory_name(kind));
    assert_string_equal(mr_memory_name(MR_SCRATCH), "scratch");
}

static void test_allocation_gives_zeroed_tensors_in_order(void **state)
{
    (void)state;
    mr_runtime *rt = rt_test_open();
    mr_plan *plan = new_plan(mr_runtime_info(rt));
    mr_tensor t[20], integers;
    mr_arena *arena;
    int segment;
    size_t offset, before = 0;
    for (int i = 0; i < 20; i++)
        assert_ok(mr_plan_add(plan, MR_GRADIENTS, &t[i], MR_F32, 100 + (size_t)i));
    assert_ok(mr_plan_add(plan, MR_BUFFERS, &integers, MR_I32, 7));
    assert_ok(mr_plan_allocate(plan, rt, false, &arena));
    for (int i = 0; i < 20; i++) {
        float x[119];
        assert_int_equal(t[i].count, 100 + i);
        assert_ok(mr_read(rt, &t[i], 0, t[i].count, x));
        for (int j = 0; j < 100 + i; j++)
            assert_true(x[j] == 0);
        assert_ok(mr_arena_place(arena, &t[i], &segment, &offset));
        assert_int_equal(segment, 0);
        assert_true(offset % 64 == 0 && (i == 0 || offset >= before + t[i - 1].count));
        before = offset;
    }
    assert_true(integers.dtype == MR_I32 && integers.count == 7);
    float one = 1;
    int n;
    const mr_tensor *segments = mr_arena_segments(arena, MR_GRADIENTS, &n);
    assert_int_equal(n, 1);
    assert_ok(mr_write(rt, &segments[0], before + 118, 1, &one));
    assert_true(rt_test_at(rt, &t[19], 118) == 1);
    mr_arena_segments(arena, MR_PARAMETERS, &n);
    assert_int_equal(n, 0);
    mr_tensor stranger = {0};
    assert_fails(MR_EINVAL, "does not belong to this plan", mr_arena_place(arena, &stranger, &segment, &offset));
    mr_plan_free(plan);
    mr_arena_free(rt, arena);
    assert_null(t[0].mem);
    size_t now;
    mr_device_bytes(rt, &now, NULL);
    assert_int_equal(now, 0);
    mr_arena_free(rt, NULL);
    mr_runtime_close(rt);
}

static void test_overlaid_scratch_is_the_same_memory(void **state)
{
    (void)state;
    mr_runtime *rt = rt_test_open();
    mr_plan *plan = new_plan(mr_runtime_info(rt));
    mr_tensor a, b, c;
    mr_arena *arena;
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &a, MR_F32, 1024));
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &b, MR_F32, 1024));
    mr_plan_overlay(plan, MR_SCRATCH);
    assert_ok(mr_plan_add(plan, MR_SCRATCH, &c, MR_F32, 2048));
    assert_ok(mr_plan_allocate(plan, rt, false, &arena));
    float x = 3;
    assert_ok(mr_write(rt, &b, 1, 1, &x));
    assert_true(rt_test_at(rt, &c, 1025) == 3);
    mr_plan_free(plan);
    mr_arena_free(rt, arena);
    mr_runtime_close(rt);
}

static void test_a_small_largest_allocation_makes_segments(void **state)
{
    (void)state;
    setenv("MICRORWKV_LIMITS", "alloc=1M", 1);
    mr_runtime *rt = rt_test_open();
    unsetenv("MICRORWKV_LIMITS");
    mr_plan *plan = new_plan(mr_runtime_info(rt));
    mr_tensor t[5];
    mr_arena *arena;
    for (int i = 0; i < 5; i++) /* 400000 bytes each: two to a segment */
        assert_ok(mr_plan_add(plan, MR_MOMENTS, &t[i], MR_F32, 100000));
    assert_ok(mr_plan_allocate(plan, rt, false, &arena));
    int n, segment;
    size_t offset;
    const mr_tensor *segments = mr_arena_segments(arena, MR_MOMENTS, &n);
    assert_int_equal(n, 3);
    for (int i = 0; i < 3; i++)
        assert_true(segments[i].count * 4 <= 1 << 20);
    for (int i = 0; i < 5; i++) {
        assert_ok(mr_arena_place(arena, &t[i], &segment, &offset));
        assert_int_equal(segment, i / 2);
        assert_true(i % 2 ? offset >= 100000 : offset == 0);
    }
    mr_tensor large;
    assert_fails(MR_ENOMEM, "allocates at once", mr_tensor_alloc(rt, &large, MR_F32, (1 << 18) + 1));
    mr_plan_free(plan);
    mr_arena_free(rt, arena);
    mr_runtime_close(rt);
}

static void test_a_shortfall_is_refused(void **state)
{
    (void)state;
    mr_runtime *rt = rt_test_open();
    mr_plan *plan = new_plan(NULL);
    mr_tensor t[4096];
    mr_arena *arena;
    for (int i = 0; i < 4096; i++) /* 16 TiB */
        assert_ok(mr_plan_add(plan, MR_ACTIVATIONS, &t[i], MR_F32, (size_t)1 << 30));
    assert_fails(MR_ENOMEM, "16384.00 GiB are needed", mr_plan_allocate(plan, rt, false, &arena));
    assert_null(arena);
    mr_plan_free(plan);
    mr_runtime_close(rt);
}

static void write_file(const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", test_folder(), name);
    for (char *slash = path + strlen(test_folder()) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = 0;
        mkdir(path, 0700);
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_host_memory_is_what_the_system_says(void **state)
{
    (void)state;
    assert_int_equal(mr_host_memory("/nowhere"), SIZE_MAX);
    write_file("plain/proc/meminfo", "MemTotal: 4000 kB\nMemFree: 5 kB\nMemAvailable:    3000 kB\n");
    assert_int_equal(mr_host_memory(test_path("plain")), 3000 * 1024);
    assert_in_range(mr_host_memory(""), 1, SIZE_MAX - 1);
}

static void test_control_groups_limit_host_memory(void **state)
{
    (void)state;
    write_file("v2/proc/meminfo", "MemAvailable: 1000000 kB\n");
    write_file("v2/proc/self/cgroup", "0::/outer/inner\n");
    write_file("v2/sys/fs/cgroup/outer/inner/memory.max", "max\n");
    write_file("v2/sys/fs/cgroup/outer/inner/memory.current", "7000\n");
    assert_int_equal(mr_host_memory(test_path("v2")), 1000000ull * 1024);
    write_file("v2/sys/fs/cgroup/outer/memory.max", "50000\n");
    write_file("v2/sys/fs/cgroup/outer/memory.current", "20000\n");
    assert_int_equal(mr_host_memory(test_path("v2")), 30000);
    write_file("v2/sys/fs/cgroup/outer/memory.stat", "anon 3\ninactive_file 5000\n");
    assert_int_equal(mr_host_memory(test_path("v2")), 35000);
    write_file("v1/proc/self/cgroup", "12:cpu:/other\n4:hugetlb,memory:/docker/1\n");
    write_file("v1/sys/fs/cgroup/memory/memory.limit_in_bytes", "9000\n");
    write_file("v1/sys/fs/cgroup/memory/memory.usage_in_bytes", "10000\n");
    assert_int_equal(mr_host_memory(test_path("v1")), 0);
    write_file("v1/sys/fs/cgroup/memory/memory.stat", "total_inactive_file 4000\n");
    assert_int_equal(mr_host_memory(test_path("v1")), 3000);
}

static void test_what_lies_between_parameters_is_zero(void **state)
{
    (void)state;
    enum { ODD = 1001, ROUND = 1024 };
    mr_runtime *rt = rt_test_open();
    mr_plan *plan;
    mr_arena *arena;
    mr_tensor used, a, b;
    int32_t ones[2 * ROUND], now[2 * ROUND];
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 20; i++) { /* memory that was used is likely to come again */
        assert_ok(mr_tensor_alloc(rt, &used, MR_I32, 2 * ROUND));
        assert_ok(mr_write(rt, &used, 0, 2 * ROUND, ones));
        assert_ok(mr_finish(rt));
        mr_tensor_free(rt, &used);
        assert_ok(mr_plan_create(&plan, mr_runtime_info(rt)));
        assert_ok(mr_plan_add(plan, MR_PARAMETERS, &a, MR_F32, ODD));
        assert_ok(mr_plan_add(plan, MR_PARAMETERS, &b, MR_F32, ODD));
        assert_ok(mr_plan_allocate(plan, rt, false, &arena));
        mr_plan_free(plan);
        int segments, segment;
        size_t second;
        const mr_tensor *all = mr_arena_segments(arena, MR_PARAMETERS, &segments);
        assert_ok(mr_arena_place(arena, &b, &segment, &second));
        assert_true(all->count <= 2 * ROUND && second > ODD);
        assert_ok(mr_read(rt, all, 0, all->count, now));
        for (size_t at = ODD; at < all->count; at = at + 1 == second ? second + ODD : at + 1)
            assert_int_equal(now[at], 0);
        mr_arena_free(rt, arena);
    }
    mr_runtime_close(rt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors_are_padded_to_the_alignment),
        cmocka_unit_test(test_the_devices_alignment_is_kept),
        cmocka_unit_test(test_nothing_asked_for_takes_nothing),
        cmocka_unit_test(test_scratch_overlays_after_a_reset),
        cmocka_unit_test(test_what_others_allocate_is_counted),
        cmocka_unit_test(test_a_tensor_larger_than_a_segment_fails),
        cmocka_unit_test(test_every_kind_has_a_name),
        cmocka_unit_test(test_allocation_gives_zeroed_tensors_in_order),
        cmocka_unit_test(test_overlaid_scratch_is_the_same_memory),
        cmocka_unit_test(test_a_small_largest_allocation_makes_segments),
        cmocka_unit_test(test_a_shortfall_is_refused),
        cmocka_unit_test(test_host_memory_is_what_the_system_says),
        cmocka_unit_test(test_control_groups_limit_host_memory),
        cmocka_unit_test(test_what_lies_between_parameters_is_zero),
    };
    return cmocka_run_group_tests(tests, prepare, test_cleanup);
}
