/* SPDX-License-Identifier: GPL-3.0-or-later
 * What convert and new share: telling what is not kept and what was written, the progress bar. */
#ifndef MR_CLI_EXPORTING_H
#define MR_CLI_EXPORTING_H

#include "api/exporting.h"
#include "base/progress.h"
#include "cli/cli.h"

struct mr_exporting_view {
    const char *out, *label;
    bool json;
    double start;
    struct mr_progress bar;
    const volatile sig_atomic_t *stop;
};

/* Sets the callbacks of `how`. The caller ends the bar. */
void mr_exporting_listen(struct mr_exporting_view *v, struct mr_convert_options *how);
/* An mr_exporting_done: prints what was written, as text or JSON. */
int mr_exporting_report(void *view, const struct mr_exported *e);

#endif
