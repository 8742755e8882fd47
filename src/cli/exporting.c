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

int mr_exporting_report(void *context, const struct mr_exported *e)
{
    struct mr_exporting_view *v = context;
    char text[24];
    double seconds = mr_now() - v->start;
    mr_progress_end(&v->bar);
    if (v->json) {
        json_t *notes = json_array();
        for (size_t i = 0; i < e->note_count; i++)
            json_array_append_new(notes, json_string(e->notes[i]));
        return mr_print_json(json_pack("{so ss ss sI sI sf so}", "out", mr_json_repaired(v->out, strlen(v->out)),
                                       "layout", e->layout, "family", e->family, "parameters",
                                       (json_int_t)e->parameters, "bytes", (json_int_t)e->bytes, "seconds", seconds,
                                       "not_kept", notes));
    }
    fprintf(stderr, "%s: %s of %.1f M parameters, %s of numbers in %.1f s (%.0f MB/s)\n", v->out, e->family,
            1e-6 * (double)e->parameters, mr_format_bytes(text, e->bytes), seconds,
            1e-6 * (double)e->bytes / (seconds > 1e-9 ? seconds : 1e-9));
    return 0;
}
