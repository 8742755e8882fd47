/* SPDX-License-Identifier: GPL-3.0-or-later
 * Device memory: allocation, views, and what moves between it and the host. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/internal.h"

static const size_t largest_tensor = (size_t)1 << 30; /* elements */
static const size_t largest_staged = (size_t)1 << 22; /* bytes: larger writes wait instead of being copied */
static const size_t largest_kept = (size_t)1 << 16;   /* bytes: copies up to this keep their memory for the next */

int mr_tensor_alloc(mr_runtime *rt, mr_tensor *t, enum mr_element dtype, size_t count)
{
    *t = (mr_tensor){0};
    if (count == 0 || count > largest_tensor)
        return mr_fail(MR_EINVAL, "a tensor of %zu elements: allowed are 1 to %zu", count, largest_tensor);
    if (count % mr_element_block(dtype))
        return mr_fail(MR_EINVAL, "a tensor of %zu elements in blocks of %zu: not a whole number of blocks", count,
                       mr_element_block(dtype));
    size_t bytes = mr_element_bytes(dtype, count);
    if (bytes > rt->info.max_alloc)
        return mr_fail(MR_ENOMEM, "a tensor of %.1f MiB is larger than the %.1f MiB that '%s' allocates at once",
                       (double)bytes / 0x1p20, (double)rt->info.max_alloc / 0x1p20, rt->info.name);
    cl_int status;
    cl_mem mem = clCreateBuffer(rt->context, CL_MEM_READ_WRITE, bytes, NULL, &status);
    if (!mem)
        return mr_cl_fail(status, "%.1f MiB cannot be allocated on '%s' beside %.1f MiB in use", (double)bytes / 0x1p20,
                          rt->info.name, (double)rt->bytes / 0x1p20);
    *t = (mr_tensor){mem, count, dtype};
    rt->bytes += bytes;
    if (rt->bytes > rt->peak)
        rt->peak = rt->bytes;
    return 0;
}

static int check_part(const char *what, const mr_tensor *t, size_t offset, size_t count)
{
    if (!t->mem)
        return mr_fail(MR_EINVAL, "%s: the tensor has no memory", what);
    if (count > t->count || offset > t->count - count)
        return mr_fail(MR_EINVAL, "%s: elements %zu to %zu of a tensor of %zu", what, offset, offset + count, t->count);
    if (mr_is_weights(t->dtype) && (offset > 0 || count < t->count))
        return mr_fail(MR_EINVAL, "%s: elements %zu to %zu of %zu in %s, whose rows are interleaved: all or none", what,
                       offset, offset + count, t->count, mr_element_name(t->dtype));
    return 0;
}

int mr_tensor_window(mr_runtime *rt, mr_tensor *view, const mr_tensor *of, size_t start, enum mr_element dtype,
                     size_t count)
{
    size_t bytes = mr_element_bytes(dtype, count);
    if (count == 0 || start % rt->info.base_align)
        return mr_fail(MR_EINVAL,
                       "mr_tensor_view: %zu elements from byte %zu on: views begin at multiples of %zu bytes", count,
                       start, rt->info.base_align);
    /* OpenCL has no views of views: take the memory below */
    cl_mem parent = NULL;
    size_t below = 0;
    cl_int status = clGetMemObjectInfo(of->mem, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
    if (!status && parent)
        status = clGetMemObjectInfo(of->mem, CL_MEM_OFFSET, sizeof below, &below, NULL);
    if (status)
        return mr_cl_fail(status, "mr_tensor_view: the tensor cannot be asked for its place");
    cl_buffer_region region = {below + start, bytes};
    cl_mem mem = clCreateSubBuffer(parent ? parent : of->mem, 0, CL_BUFFER_CREATE_TYPE_REGION, &region, &status);
    if (!mem)
        return mr_cl_fail(status, "mr_tensor_view: %zu elements from byte %zu on", count, start);
    *view = (mr_tensor){mem, count, dtype};
    return 0;
}

int mr_tensor_view(mr_runtime *rt, mr_tensor *view, const mr_tensor *of, size_t offset, size_t count)
{
    MR_TRY(check_part("mr_tensor_view", of, offset, count));
    return mr_tensor_window(rt, view, of, offset * mr_element_block_bytes(of->dtype), of->dtype, count);
}

void mr_tensor_free(mr_runtime *rt, mr_tensor *t)
{
    if (t->mem) {
        cl_mem parent = NULL;
        clGetMemObjectInfo(t->mem, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
        if (!parent)
            rt->bytes -= mr_element_bytes(t->dtype, t->count);
        clReleaseMemObject(t->mem);
    }
    *t = (mr_tensor){0};
}

/* Waits until the device has read the copy. */
static int clear_stage(struct mr_staged *stage)
{
    cl_int status = 0;
    if (stage->event) {
        status = clWaitForEvents(1, &stage->event);
        clReleaseEvent(stage->event);
    }
    stage->event = NULL;
    return status ? mr_cl_fail(status, "what was written to the device did not arrive") : 0;
}

static void free_stage(struct mr_staged *stage)
{
    free(stage->block);
    *stage = (struct mr_staged){0};
}

void mr_staged_free(mr_runtime *rt)
{
    for (int i = 0; i < MR_STAGES; i++) {
        clear_stage(&rt->staged[i]);
        free_stage(&rt->staged[i]);
    }
}

/* Memory for `bytes`: small ones keep it, and get a whole number of pages' worth. */
static int make_room(struct mr_staged *stage, size_t bytes)
{
    if (bytes <= stage->size && stage->size <= largest_kept)
        return 0;
    free_stage(stage);
    stage->size = mr_round_up(bytes, 4096);
    stage->block = mr_alloc(stage->size, 1);
    return stage->block ? 0 : MR_ENOMEM;
}

/* A copy of the host's data lets the write return at once; the oldest copy of MR_STAGES is waited for. */
static int write_staged(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t bytes, const void *host)
{
    struct mr_staged *stage = &rt->staged[rt->next_stage++ % MR_STAGES];
    if (stage->event)
        MR_TRY(mr_flush(rt));
    MR_TRY(clear_stage(stage));
    MR_TRY(make_room(stage, bytes));
    memcpy(stage->block, host, bytes);
    cl_int status =
        clEnqueueWriteBuffer(rt->queue, t->mem, CL_FALSE, offset, bytes, stage->block, 0, NULL, &stage->event);
    if (status) {
        stage->event = NULL;
        return mr_cl_fail(status, "%zu bytes cannot be written to the device", bytes);
    }
    cl_event event = NULL;
    if (rt->profiling) {
        clRetainEvent(stage->event);
        event = stage->event;
    }
    return mr_queued(rt, "(write)", event, (double)bytes);
}

int mr_write_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes, const void *host)
{
    if (bytes <= largest_staged)
        return write_staged(rt, t, start, bytes, host);
    cl_event event;
    cl_int status =
        clEnqueueWriteBuffer(rt->queue, t->mem, CL_TRUE, start, bytes, host, 0, NULL, mr_profile_slot(rt, &event));
    if (status)
        return mr_cl_fail(status, "%zu bytes cannot be written to the device", bytes);
    return mr_queued(rt, "(write)", event, (double)bytes);
}

int mr_read_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes, void *host)
{
    cl_event event;
    cl_int status =
        clEnqueueReadBuffer(rt->queue, t->mem, CL_TRUE, start, bytes, host, 0, NULL, mr_profile_slot(rt, &event));
    if (status)
        return mr_cl_fail(status, "%zu bytes cannot be read from the device", bytes);
    return mr_queued(rt, "(read)", event, (double)bytes);
}

/* Elements of 4 bytes, or all of a tensor as it lies there. */
int mr_write(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, const void *host)
{
    MR_TRY(check_part("mr_write", t, offset, count));
    size_t size = mr_element_block_bytes(t->dtype);
    return count ? mr_write_bytes(rt, t, offset * size, mr_element_bytes(t->dtype, count), host) : 0;
}

int mr_read(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, void *host)
{
    MR_TRY(check_part("mr_read", t, offset, count));
    size_t size = mr_element_block_bytes(t->dtype);
    return count ? mr_read_bytes(rt, t, offset * size, mr_element_bytes(t->dtype, count), host) : 0;
}

int mr_copy(mr_runtime *rt, const mr_tensor *from, size_t from_offset, const mr_tensor *to, size_t to_offset,
            size_t count)
{
    MR_TRY(check_part("mr_copy from", from, from_offset, count));
    MR_TRY(check_part("mr_copy to", to, to_offset, count));
    size_t bytes = mr_element_bytes(from->dtype, count), size = mr_element_block_bytes(from->dtype);
    if (size != mr_element_block_bytes(to->dtype) || mr_is_weights(from->dtype) != mr_is_weights(to->dtype))
        return mr_fail(MR_EINVAL, "mr_copy: from %s to %s", mr_element_name(from->dtype), mr_element_name(to->dtype));
    if (count == 0)
        return 0;
    cl_event event;
    cl_int status = clEnqueueCopyBuffer(rt->queue, from->mem, to->mem, from_offset * size, to_offset * size, bytes, 0,
                                        NULL, mr_profile_slot(rt, &event));
    if (status)
        return mr_cl_fail(status, "%zu bytes cannot be copied on the device", bytes);
    return mr_queued(rt, "(copy)", event, 2.0 * (double)bytes);
}

int mr_zero_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes)
{
    const cl_uint zero = 0;
    /* PoCL: one byte becomes a memset */
    size_t pattern = rt->info.is_cpu || bytes % sizeof zero || start % sizeof zero ? 1 : sizeof zero;
    cl_event event;
    cl_int status =
        clEnqueueFillBuffer(rt->queue, t->mem, &zero, pattern, start, bytes, 0, NULL, mr_profile_slot(rt, &event));
    if (status)
        return mr_cl_fail(status, "%zu bytes cannot be zeroed on the device", bytes);
    return mr_queued(rt, "(zero)", event, (double)bytes);
}

int mr_zero(mr_runtime *rt, const mr_tensor *t)
{
    MR_TRY(check_part("mr_zero", t, 0, t->count));
    return mr_zero_bytes(rt, t, 0, mr_element_bytes(t->dtype, t->count));
}

int mr_tensor_map(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, bool write, void **host)
{
    *host = NULL;
    MR_TRY(check_part("mr_tensor_map", t, offset, count));
    if (count == 0)
        return mr_fail(MR_EINVAL, "mr_tensor_map: no elements are asked for");
    size_t size = mr_element_block_bytes(t->dtype), bytes = mr_element_bytes(t->dtype, count);
    cl_int status;
    *host = clEnqueueMapBuffer(rt->queue, t->mem, CL_TRUE, write ? CL_MAP_WRITE_INVALIDATE_REGION : CL_MAP_READ,
                               offset * size, bytes, 0, NULL, NULL, &status);
    return *host ? 0 : mr_cl_fail(status, "%zu bytes cannot be mapped from the device", bytes);
}

int mr_tensor_unmap(mr_runtime *rt, const mr_tensor *t, void *host)
{
    cl_int status = clEnqueueUnmapMemObject(rt->queue, t->mem, host, 0, NULL, NULL);
    return status ? mr_cl_fail(status, "memory of the device cannot be unmapped") : 0;
}
