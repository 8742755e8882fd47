/* SPDX-License-Identifier: GPL-3.0-or-later
 * Launches: arguments are checked against the kernel's own signature, then queued. */
#include "rt/internal.h"

#include "base/alloc.h"

/* A work-item of an element-wise kernel on a CPU takes at least as many items as outweigh its group's start. */
enum { ITEMS_A_BLOCK = 2048, BLOCKS_A_UNIT = 8, GROUPS_A_UNIT = 32 };

struct mr_range mr_rows(const mr_runtime *rt, size_t rows)
{
    return (struct mr_range){{rows, 1, 1}, (size_t)rt->info.lanes, NULL};
}

struct mr_range mr_items(const mr_runtime *rt, size_t items)
{
    size_t lanes = (size_t)rt->info.lanes;
    size_t share = lanes == 1 ? ITEMS_A_BLOCK : lanes;
    size_t most = (size_t)rt->info.compute_units * (lanes == 1 ? BLOCKS_A_UNIT : GROUPS_A_UNIT);
    size_t groups = (items + share - 1) / share;
    return (struct mr_range){{groups < most ? groups : most, 1, 1}, lanes, NULL};
}

static const char *passed(int kind)
{
    static const char *const words[] = {"mr_in", "mr_out", "mr_int", "mr_uint", "mr_float", "mr_ulong", "mr_int16"};
    return words[kind];
}

/* "global const float *", as the kernel's source says. */
static const char *declared(const struct mr_parameter *p)
{
    static const char *const pointers[2][3] = {
        {"global const float *", "global const int *", "global const ... *"},
        {"global float *", "global int *", "global ... *"},
    };
    static const char *const scalars[] = {"int", "uint", "float", "ulong", "int16"};
    return p->kind <= MR_ARG_OUT ? pointers[p->kind][p->pointee] : scalars[p->kind - MR_ARG_INT];
}

static int check_argument(const struct mr_kernel *kernel, int i, const struct mr_arg *arg)
{
    const struct mr_parameter *p = &kernel->parameters[i];
    if ((int)arg->kind != p->kind)
        return mr_fail(MR_EINVAL, "%s: argument %d '%s' is a `%s`: pass %s, not %s", kernel->name, i + 1, p->name,
                       declared(p), passed(p->kind), passed((int)arg->kind));
    if (arg->kind > MR_ARG_OUT || p->pointee == MR_POINTEE_ANY || !arg->as.tensor || !arg->as.tensor->mem)
        return 0;
    enum mr_element dtype = arg->as.tensor->dtype;
    if ((int)dtype != (int)p->pointee)
        return mr_fail(MR_EINVAL, "%s: argument %d '%s' is a `%s`, but the tensor holds %s", kernel->name, i + 1,
                       p->name, declared(p),
                       dtype == MR_F32   ? "floats"
                       : dtype == MR_I32 ? "integers"
                                         : mr_element_name(dtype));
    return 0;
}

static int set_argument(const struct mr_launched *launch, int i, const struct mr_arg *arg)
{
    size_t size;
    const void *value;
    cl_mem none = NULL;
    switch (arg->kind) {
    case MR_ARG_IN:
    case MR_ARG_OUT:
        size = sizeof none;
        value = arg->as.tensor ? (const void *)&arg->as.tensor->mem : (const void *)&none;
        break;
    case MR_ARG_ULONG:
        size = sizeof arg->as.ul;
        value = &arg->as.ul;
        break;
    case MR_ARG_INT16:
        size = 16 * sizeof(cl_int);
        value = arg->as.i16;
        break;
    default:
        size = sizeof arg->as.i;
        value = &arg->as;
    }
    cl_int status = clSetKernelArg(launch->handle, (cl_uint)i, size, value);
    if (status)
        return mr_cl_fail(status, "%s: cannot set argument %d '%s'", launch->variant->kernel->name, i + 1,
                          launch->variant->kernel->parameters[i].name);
    return 0;
}

/* Local memory that a kernel says it takes. */
static unsigned long long local_memory_of(const mr_runtime *rt, const struct mr_variant *variant)
{
    cl_ulong local = 0;
    clGetKernelWorkGroupInfo(variant->handle, rt->device, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    return local;
}

/* MICRORWKV_LIMITS lowered it: then the kernel's own figure decides. Some drivers tell twice what a kernel takes: there
 * the launch decides. */
static bool is_lowered(const mr_runtime *rt)
{
    cl_ulong all = 0;
    clGetDeviceInfo(rt->device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof all, &all, NULL);
    return rt->info.local_memory < all;
}

/* What must hold once per variant: the kernel's limits allow its local size. */
static int check_first_launch(mr_runtime *rt, struct mr_variant *variant, size_t local_size)
{
    const char *name = variant->kernel->name;
    size_t largest = rt->info.max_group;
    unsigned long long local = local_memory_of(rt, variant);
    if (local > rt->info.local_memory && is_lowered(rt))
        return mr_fail(MR_EDEVICE, "%s: needs %llu bytes of local memory, but '%s' has %zu", name, local, rt->info.name,
                       rt->info.local_memory);
    clGetKernelWorkGroupInfo(variant->handle, rt->device, CL_KERNEL_WORK_GROUP_SIZE, sizeof largest, &largest, NULL);
    if (largest > rt->info.max_group)
        largest = rt->info.max_group;
    if (local_size < 1 || local_size > largest)
        return mr_fail(MR_EINVAL, "%s: a work-group of %zu work-items; '%s' allows 1 to %zu for this kernel%s", name,
                       local_size, rt->info.name, largest,
                       local_size > 1 ? ": try a smaller MICRORWKV_LANES, as 32" : "");
    MR_TRY(mr_program_launched(variant->program, name, false));
    variant->local_size = local_size;
    return 0;
}

static int set_arguments(const struct mr_launched *launch, const struct mr_arg *args, int count)
{
    const struct mr_kernel *kernel = launch->variant->kernel;
    if (count != kernel->count)
        return mr_fail(MR_EINVAL, "%s: %d arguments passed, but the kernel takes %d", kernel->name, count,
                       kernel->count);
    for (int i = 0; i < count; i++) {
        MR_TRY(check_argument(kernel, i, &args[i]));
        MR_TRY(set_argument(launch, i, &args[i]));
    }
    return 0;
}

static int set_sizes(mr_runtime *rt, struct mr_launched *launch, const struct mr_range *range)
{
    struct mr_variant *variant = launch->variant;
    const char *name = variant->kernel->name;
    size_t *global = launch->global;
    if (variant->local_size != range->local_size) {
        if (variant->local_size)
            return mr_fail(MR_EINVAL,
                           "%s: work-groups of %zu work-items, but of %zu in an earlier launch: use one size per "
                           "kernel and device",
                           name, range->local_size, variant->local_size);
        MR_TRY(check_first_launch(rt, variant, range->local_size));
    }
    for (int i = 0; i < 3; i++) {
        global[i] = range->groups[i] ? range->groups[i] : 1;
        launch->local[i] = i ? 1 : range->local_size;
    }
    if (!mr_mul(global[0], launch->local[0], &global[0]))
        return mr_fail(MR_EINVAL, "%s: %zu work-groups are too many", name, range->groups[0]);
    if (!variant->large && (global[0] >= MR_LARGE_GRID || global[1] >= MR_LARGE_GRID || global[2] >= MR_LARGE_GRID)) {
        variant->large = true;
        MR_TRY(mr_program_launched(variant->program, name, true));
    }
    return 0;
}

int mr_enqueue(mr_runtime *rt, const struct mr_launched *launch)
{
    const size_t *global = launch->global, *local = launch->local;
    cl_uint dimensions = global[2] > 1 ? 3 : global[1] > 1 ? 2 : 1;
    cl_event event;
    cl_int status = clEnqueueNDRangeKernel(rt->queue, launch->handle, dimensions, NULL, global, local, 0, NULL,
                                           mr_profile_slot(rt, &event));
    if (status)
        return mr_cl_fail(status,
                          "%s: cannot launch %zu x %zu x %zu work-groups of %zu work-items and %llu bytes "
                          "of local memory",
                          launch->variant->kernel->name, global[0] / local[0], global[1], global[2], local[0],
                          local_memory_of(rt, launch->variant));
    return mr_queued_variant(rt, launch->variant, event, launch->bytes, launch->flops);
}

static int launch_with(mr_runtime *rt, struct mr_launched *launch, const struct mr_range *range,
                       const struct mr_arg *args, int count)
{
    if (rt->recording)
        MR_TRY(mr_record_kernel(rt, launch));
    MR_TRY(set_arguments(launch, args, count));
    MR_TRY(set_sizes(rt, launch, range));
    if (rt->recording)
        mr_record_sizes(rt, launch);
    return mr_enqueue(rt, launch);
}

int mr_launch_args(mr_runtime *rt, const char *name, struct mr_range range, const struct mr_arg *args, int count)
{
    struct mr_launched launch = {.bytes = rt->note_bytes, .flops = rt->note_flops};
    rt->note_bytes = rt->note_flops = 0;
    int err = mr_variant_find(rt, name, range.defines, &launch.variant);
    if (!err) {
        launch.handle = launch.variant->handle;
        err = launch_with(rt, &launch, &range, args, count);
    }
    if (err)
        mr_record_spoil(rt);
    return err;
}
