/* SPDX-License-Identifier: GPL-3.0-or-later
 * Measuring in a process of its own: a driver that crashes or hangs takes nothing else with it, and the memory that is
 * reported is one model's alone. The process that starts others must not have called OpenCL. */
#ifndef MR_BENCH_CHILD_H
#define MR_BENCH_CHILD_H

#include <jansson.h>
#include <signal.h>

struct mr_child {
    /* In the new process: measures, handing each line of results to `put`. */
    int (*work)(void *context, int (*put)(void *to, json_t *line), void *to);
    void *context;
    /* In this one: takes a line as it comes (it is the listener's). */
    int (*line)(void *listener, json_t *line);
    void *listener;
    double patience;                   /* seconds without a line after which the process is killed; 0: never */
    const volatile sig_atomic_t *stop; /* not 0: the process is asked to end (SIGTERM) */
};

/* Waits until the work is done. The error is the work's own; MR_EDEVICE where the process died (of a signal, which is
 * named) or was killed. */
int mr_child_run(const struct mr_child *child);

/* Writes the line, and is not stopped in its middle by a signal. */
int mr_write_line(int fd, const json_t *line);

/* The devices that a list such as "all", "0,1" or "intel,0" names (NULL: the default device), as objects with index,
 * name and platform, found in a process of its own. MR_ENODEV names what there is. */
int mr_child_devices(const char *list, json_t **devices);

#endif
