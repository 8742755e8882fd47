/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/plot.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/gnuplot.h"
#include "base/json.h"

/* One data block per curve: the lines of the log that hold `key`. */
static int block(struct mr_str *script, const struct mr_str *log, const char *name, const char *key)
{
    MR_TRY(mr_str_printf(script, "$%s << EOD\n", name));
    int points = 0;
    for (size_t at = 0; at < log->size;) {
        const char *end = memchr(log->text + at, '\n', log->size - at);
        size_t size = end ? (size_t)(end - (log->text + at)) + 1 : log->size - at;
        json_t *line = json_loadb(log->text + at, size, 0, NULL), *value = json_object_get(line, key);
        int err = 0;
        if (json_is_number(value)) {
            err = mr_str_printf(script, "%lld %.6g\n", (long long)json_integer_value(json_object_get(line, "iter")),
                                json_number_value(value));
            points++;
        }
        json_decref(line);
        MR_TRY(err);
        at += size;
    }
    MR_TRY(mr_str_printf(script, "EOD\n"));
    return points;
}

int mr_plot_loss(const char *out_dir)
{
    char path[4096];
    struct mr_str log = {0}, script = {0};
    int err, losses, evaluations;
    snprintf(path, sizeof path, "%s/log.jsonl", out_dir);
    MR_GO(mr_file_read(path, (size_t)1 << 32, &log));
    MR_GO(losses = block(&script, &log, "loss", "loss"));
    MR_GO(evaluations = block(&script, &log, "validation", "val_loss"));
    err = 0;
    if (losses < 2)
        goto fail;
    MR_GO(
        mr_str_printf(&script,
                      "set terminal svg size 900,480 font 'sans,14' background 'white'\nset output 'loss.svg.tmp'\n"
                      "set xlabel 'iteration'\nset ylabel 'loss'\nset grid\nset key top right\n"
                      "plot $loss with lines lw 1 lc rgb '#9ecae1' title 'training, each iteration', "
                      "$loss smooth sbezier lw 2 lc rgb '#2171b5' title 'training, smoothed'%s\n",
                      evaluations ? ", $validation with points pt 7 ps 0.8 lc rgb '#d94801' title 'validation'" : ""));
    const char *picture = "loss.svg";
    if (!(err = mr_gnuplot(out_dir, &script, &picture, 1, "no loss curve")))
        err = 1;
fail:
    mr_str_free(&script);
    mr_str_free(&log);
    return err;
}
