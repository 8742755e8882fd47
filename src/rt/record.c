/* SPDX-License-Identifier: GPL-3.0-or-later
 * Recordings: launches that are made again and again with the same arguments. Each has a kernel of its own, whose
 * arguments are set once, so that making it again is one call. */
#include <stdlib.h>

#include "base/alloc.h"
#include "rt/internal.h"

struct mr_recording {
    struct mr_launched *list;
    int count, capacity;
    bool spoilt; /* a launch failed, or what was queued was no launch */
};

int mr_record_begin(mr_runtime *rt)
{
    if (rt->recording)
        return mr_fail(MR_EINVAL, "a recording is running already");
    rt->recording = mr_alloc(1, sizeof *rt->recording);
    return rt->recording ? 0 : MR_ENOMEM;
}

mr_recording *mr_record_end(mr_runtime *rt)
{
    mr_recording *r = rt->recording;
    rt->recording = NULL;
    if (!r || !r->spoilt)
        return r;
    mr_recording_free(r);
    return NULL;
}

void mr_recording_free(mr_recording *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->count; i++)
        clReleaseKernel(r->list[i].handle);
    free(r->list);
    free(r);
}

int mr_replay(mr_runtime *rt, const mr_recording *r)
{
    for (int i = 0; i < r->count; i++)
        MR_TRY(mr_enqueue(rt, &r->list[i]));
    return 0;
}

void mr_record_spoil(mr_runtime *rt)
{
    if (rt->recording)
        rt->recording->spoilt = true;
}

int mr_record_kernel(mr_runtime *rt, struct mr_launched *launch)
{
    mr_recording *r = rt->recording;
    if (r->count == r->capacity) {
        int capacity = r->capacity ? 2 * r->capacity : 64;
        struct mr_launched *grown = mr_realloc(r->list, (size_t)capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        r->list = grown;
        r->capacity = capacity;
    }
    cl_int status;
    launch->handle = clCreateKernel(launch->variant->program->handle, launch->variant->kernel->name, &status);
    if (!launch->handle)
        return mr_cl_fail(status, "%s: cannot create the kernel again", launch->variant->kernel->name);
    r->list[r->count++] = *launch;
    return 0;
}

void mr_record_sizes(mr_runtime *rt, const struct mr_launched *launch)
{
    rt->recording->list[rt->recording->count - 1] = *launch;
}
