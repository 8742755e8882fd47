/* SPDX-License-Identifier: GPL-3.0-or-later
 * How long the device works on everything between two points of the queue, by its own clock. */
#ifndef MR_RT_SPAN_H
#define MR_RT_SPAN_H

#include "rt/rt.h"

struct _cl_event;
struct mr_span {
    struct _cl_event *begin;
};

/* From now on the queue keeps times. Call before the first launch. */
int mr_span_start(mr_runtime *rt);
int mr_span_begin(mr_runtime *rt, struct mr_span *span);
/* Waits. *seconds is negative where the device does not tell. */
int mr_span_end(mr_runtime *rt, struct mr_span *span, double *seconds);

#endif
