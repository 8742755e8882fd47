/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/plot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

#define SCRIPT "loss.gnuplot"
#define PICTURE "loss.svg.tmp"

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

/* gnuplot in out_dir, which keeps odd characters of the path out of its grammar, on script and picture named below. */
static int run_gnuplot(const char *out_dir)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_RDONLY);
        if (nothing >= 0)
            dup2(nothing, STDIN_FILENO);
        if (chdir(out_dir) == 0)
            execlp("gnuplot", "gnuplot", SCRIPT, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            child = -1;
    if (child < 0)
        return mr_fail(MR_EFILE, "no loss curve: cannot start gnuplot: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return mr_fail(MR_ENODEV, "no loss curve: gnuplot is not installed (package gnuplot-nox)");
    if (WIFSIGNALED(status))
        return mr_fail(MR_EFILE, "no loss curve: gnuplot was stopped by signal %d", WTERMSIG(status));
    return status ? mr_fail(MR_EFILE, "no loss curve: gnuplot failed (version 5 or later is needed)") : 0;
}

/* The picture gets its name when it is whole. */
static int draw(const char *out_dir, const struct mr_str *script)
{
    char at[PATH_MAX], picture[PATH_MAX], final[PATH_MAX];
    snprintf(at, sizeof at, "%s/" SCRIPT, out_dir);
    snprintf(picture, sizeof picture, "%s/" PICTURE, out_dir);
    snprintf(final, sizeof final, "%s/loss.svg", out_dir);
    MR_TRY(mr_file_write(at, script->text, script->size));
    int err = run_gnuplot(out_dir);
    if (!err && rename(picture, final))
        err = mr_fail(MR_EFILE, "no loss curve: %s: %s", final, strerror(errno));
    unlink(at);
    if (err)
        unlink(picture);
    return err;
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
                      "set terminal svg size 900,480 font 'sans,14' background 'white'\nset output '" PICTURE "'\n"
                      "set xlabel 'iteration'\nset ylabel 'loss'\nset grid\nset key top right\n"
                      "plot $loss with lines lw 1 lc rgb '#9ecae1' title 'training, each iteration', "
                      "$loss smooth sbezier lw 2 lc rgb '#2171b5' title 'training, smoothed'%s\n",
                      evaluations ? ", $validation with points pt 7 ps 0.8 lc rgb '#d94801' title 'validation'" : ""));
    if (!(err = draw(out_dir, &script)))
        err = 1;
fail:
    mr_str_free(&script);
    mr_str_free(&log);
    return err;
}
