/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/alloc.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int mr_common_open(const struct mr_common *common, mr_runtime **rt)
{
    MR_TRY(mr_runtime_open(rt, common->device));
    int err = common->profile ? mr_runtime_profile(*rt) : 0;
    if (err < 0) {
        mr_runtime_close(*rt);
        *rt = NULL;
    }
    return err;
}

static void print_profile(mr_runtime *rt)
{
    struct mr_kernel_time *rows = NULL;
    size_t count = 0;
    double total = 0;
    int err = mr_runtime_times(rt, NULL, 0, &count);
    if (!err && count && !(rows = mr_alloc(count, sizeof *rows)))
        err = MR_ENOMEM;
    if (!err && count) {
        rows->size = sizeof *rows;
        err = mr_runtime_times(rt, rows, count, &count);
    }
    if (err) {
        fprintf(stderr, "microrwkv: no profile: %s\n", mr_error_text());
        free(rows);
        return;
    }
    for (size_t i = 0; i < count; i++)
        total += rows[i].seconds;
    fprintf(stderr, "%-40s %9s %11s %7s %9s %9s\n", "kernel", "calls", "ms", "share", "GB/s", "GFLOPS");
    for (size_t i = 0; i < count; i++) {
        const struct mr_kernel_time *r = &rows[i];
        double seconds = r->seconds > 0 ? r->seconds : 1e-9;
        char bandwidth[16] = "-", speed[16] = "-";
        if (r->bytes > 0)
            snprintf(bandwidth, sizeof bandwidth, "%.1f", r->bytes / seconds * 1e-9);
        if (r->flops > 0)
            snprintf(speed, sizeof speed, "%.1f", r->flops / seconds * 1e-9);
        fprintf(stderr, "%-40s %9llu %11.2f %6.1f%% %9s %9s\n", r->kernel, (unsigned long long)r->calls,
                r->seconds * 1e3, total > 0 ? 100 * r->seconds / total : 0, bandwidth, speed);
    }
    fprintf(stderr, "%-40s %9s %11.2f\n", "all", "", total * 1e3);
    free(rows);
}

void mr_common_close(const struct mr_common *common, mr_runtime *rt)
{
    struct mr_error_kept kept;
    mr_error_keep(&kept);
    if (rt && common->profile)
        print_profile(rt);
    mr_runtime_close(rt);
    mr_error_restore(&kept);
}

static volatile sig_atomic_t stop_requested; /* signal handlers have no other place to write to */

static void on_signal(int number)
{
    if (stop_requested)
        _exit(130);
    stop_requested = 1;
    if (number == SIGHUP)
        signal(SIGPIPE, SIG_IGN); /* whoever read the output is gone too: save nevertheless */
}

const volatile sig_atomic_t *mr_catch_signals(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction hangup;
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* nohup's is left alone */
        sigaction(SIGHUP, &action, NULL);
    return &stop_requested;
}

int mr_print_json(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(12)) : NULL;
    json_decref(object);
    if (!text)
        return mr_fail(MR_ENOMEM, "out of memory for the JSON result");
    int failed = puts(text) < 0;
    free(text);
    return failed ? mr_fail(MR_EFILE, "cannot write the result to standard output") : 0;
}
