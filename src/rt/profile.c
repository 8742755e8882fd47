/* SPDX-License-Identifier: GPL-3.0-or-later
 * What every kernel costs: events are collected in batches and summed per name. Without profiling only the
 * queue is flushed now and then. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/internal.h"
#include "rt/span.h"

/* A queue that keeps times in place of the present one. */
static int time_queue(mr_runtime *rt)
{
    cl_int status;
    cl_command_queue queue = clCreateCommandQueue(rt->context, rt->device, CL_QUEUE_PROFILING_ENABLE, &status);
    if (!queue)
        return mr_cl_fail(status, "device '%s' cannot time its kernels", rt->info.name);
    clFinish(rt->queue);
    clReleaseCommandQueue(rt->queue);
    rt->queue = queue;
    return 0;
}

int mr_span_start(mr_runtime *rt)
{
    return rt->profiling ? 0 : time_queue(rt);
}

int mr_profile_start(mr_runtime *rt)
{
    if (rt->profiling)
        return 0;
    MR_TRY(time_queue(rt));
    rt->profiling = true;
    return 0;
}

void mr_profile_note(mr_runtime *rt, double bytes, double flops)
{
    rt->note_bytes = bytes;
    rt->note_flops = flops;
}

static int row_of(mr_runtime *rt, const char *name)
{
    for (int i = 0; i < rt->row_count; i++)
        if (!strcmp(rt->rows[i].kernel, name))
            return i;
    if (rt->row_count == rt->row_capacity) {
        int capacity = rt->row_capacity ? rt->row_capacity * 2 : 32;
        struct mr_profile_row *grown = mr_realloc(rt->rows, (size_t)capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        rt->rows = grown;
        rt->row_capacity = capacity;
    }
    rt->rows[rt->row_count] = (struct mr_profile_row){.kernel = name};
    return rt->row_count++;
}

/* Waits for the pending events and adds their times. */
static int collect(mr_runtime *rt)
{
    int err = rt->pending_count ? mr_finish(rt) : 0;
    for (int i = 0; i < rt->pending_count; i++) {
        cl_ulong from = 0, to = 0;
        struct mr_profile_event *p = &rt->pending[i];
        if (!clGetEventProfilingInfo(p->event, CL_PROFILING_COMMAND_START, sizeof from, &from, NULL) &&
            !clGetEventProfilingInfo(p->event, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL) && to > from)
            rt->rows[p->row].seconds += (double)(to - from) * 1e-9;
        clReleaseEvent(p->event);
    }
    rt->pending_count = 0;
    return err;
}

static int count_event(mr_runtime *rt, int row, cl_event event, double bytes, double flops)
{
    rt->rows[row].calls++;
    rt->rows[row].bytes += bytes;
    rt->rows[row].flops += flops;
    if (!event)
        return 0;
    rt->pending[rt->pending_count++] = (struct mr_profile_event){event, row};
    return rt->pending_count == MR_EVENTS ? collect(rt) : 0;
}

/* The noted work belongs to the first launch after the note. */
static int count_noted(mr_runtime *rt, int row, cl_event event)
{
    double bytes = rt->note_bytes, flops = rt->note_flops;
    rt->note_bytes = rt->note_flops = 0;
    return count_event(rt, row, event, bytes, flops);
}

static int flush_sometimes(mr_runtime *rt)
{
    return ++rt->queued >= MR_FLUSH_EVERY ? mr_flush(rt) : 0;
}

int mr_queued(mr_runtime *rt, const char *name, cl_event event, double bytes)
{
    mr_record_spoil(rt);
    if (rt->profiling) {
        int row = row_of(rt, name);
        if (row < 0) {
            if (event)
                clReleaseEvent(event);
            return row;
        }
        MR_TRY(bytes < 0 ? count_noted(rt, row, event) : count_event(rt, row, event, bytes, 0));
    }
    return flush_sometimes(rt);
}

int mr_queued_variant(mr_runtime *rt, struct mr_variant *variant, cl_event event, double bytes, double flops)
{
    if (rt->profiling && variant->row < 0)
        variant->row = row_of(rt, variant->kernel->name);
    if (rt->profiling && variant->row < 0) {
        clReleaseEvent(event);
        return variant->row;
    }
    if (rt->profiling)
        MR_TRY(count_event(rt, variant->row, event, bytes, flops));
    return flush_sometimes(rt);
}

static int by_time(const void *a, const void *b)
{
    const struct mr_profile_row *x = a, *y = b;
    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : strcmp(x->kernel, y->kernel);
}

int mr_profile_rows(mr_runtime *rt, struct mr_profile_row **rows, int *count)
{
    *rows = NULL;
    *count = 0;
    MR_TRY(collect(rt));
    struct mr_profile_row *copy = mr_alloc((size_t)rt->row_count, sizeof *copy);
    if (!copy)
        return MR_ENOMEM;
    if (rt->row_count)
        memcpy(copy, rt->rows, (size_t)rt->row_count * sizeof *copy);
    qsort(copy, (size_t)rt->row_count, sizeof *copy, by_time);
    *rows = copy;
    *count = rt->row_count;
    return 0;
}

void mr_profile_free(mr_runtime *rt)
{
    for (int i = 0; i < rt->pending_count; i++)
        clReleaseEvent(rt->pending[i].event);
    free(rt->rows);
    rt->rows = NULL;
    rt->row_count = rt->row_capacity = rt->pending_count = 0;
}
