/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli/exporting.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"

static void on_note(void *context, const char *text)
{
    const struct mr_exporting_view *v = context;
    fprintf(stderr, "microrwkv: not kept in %s: %s\n", v->out, text);
}

static int on_progress(void *context, double part)
{
    struct mr_exporting_view *v = context;
    mr_progress_update(&v->bar, (uint64_t)(part * (double)v->bar.total), NULL);
    return *v->stop != 0;
}

void mr_exporting_listen(struct mr_exporting_view *v, struct mr_convert_options *how)
{
    v->stop = mr_catch_signals();
    v->start = mr_now();
    mr_progress_begin(&v->bar, stderr, v->label, 1000);
    how->note = on_note;
    how->progress = on_progress;
    how->context = v;
}

static uint64_t bytes_of(const struct mr_export *e)
{
    uint64_t all = 0;
    for (size_t i = 0; i < e->count; i++) {
        size_t count, bytes;
        if (e->tensors[i].shares < 0 && mr_file_tensor_size(&e->tensors[i], &count, &bytes) == 0)
            all += bytes;
    }
    return all;
}

int mr_exporting_say(void *context, const struct mr_export *e)
{
    struct mr_exporting_view *v = context;
    char text[24];
    size_t parameters = mr_params_elements(&e->params);
    uint64_t bytes = bytes_of(e);
    double seconds = mr_now() - v->start;
    mr_progress_end(&v->bar);
    if (v->json)
        return mr_print_json(json_pack("{so ss ss sI sI sf sO}", "out", mr_json_repaired(v->out, strlen(v->out)),
                                       "layout", mr_target_name(e->target), "family", mr_family_name(e->cfg.family),
                                       "parameters", (json_int_t)parameters, "bytes", (json_int_t)bytes, "seconds",
                                       seconds, "not_kept", e->notes));
    fprintf(stderr, "%s: %s of %.1f M parameters, %s of numbers in %.1f s (%.0f MB/s)\n", v->out,
            mr_family_name(e->cfg.family), 1e-6 * (double)parameters, mr_format_bytes(text, bytes), seconds,
            1e-6 * (double)bytes / (seconds > 1e-9 ? seconds : 1e-9));
    return 0;
}
