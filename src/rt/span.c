/* SPDX-License-Identifier: GPL-3.0-or-later
 * Markers before and after; no kernel is timed by itself, which would slow small ones down. */
#include "rt/span.h"

#include "rt/internal.h"

static int mark(mr_runtime *rt, cl_event *event)
{
    cl_int status = clEnqueueMarkerWithWaitList(rt->queue, 0, NULL, event);
    return status ? mr_cl_fail(status, "device '%s' cannot mark a point of its queue", rt->info.name) : 0;
}

int mr_span_begin(mr_runtime *rt, struct mr_span *span)
{
    return mark(rt, &span->begin);
}

int mr_span_end(mr_runtime *rt, struct mr_span *span, double *seconds)
{
    cl_event end = NULL;
    cl_ulong from = 0, to = 0;
    *seconds = -1;
    int err = mark(rt, &end);
    if (!err)
        err = mr_finish(rt);
    if (!err && !clGetEventProfilingInfo(span->begin, CL_PROFILING_COMMAND_END, sizeof from, &from, NULL) &&
        !clGetEventProfilingInfo(end, CL_PROFILING_COMMAND_END, sizeof to, &to, NULL) && from && to >= from)
        *seconds = (double)(to - from) * 1e-9;
    clReleaseEvent(span->begin);
    span->begin = NULL;
    if (end)
        clReleaseEvent(end);
    return err;
}
