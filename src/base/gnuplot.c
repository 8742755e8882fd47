/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

#define SCRIPT "plot.gnuplot.tmp"

/* gnuplot in the folder, which keeps odd characters of the path out of its grammar. */
static int run_gnuplot(const char *folder, const char *what)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int nothing = open("/dev/null", O_RDONLY);
        if (nothing >= 0)
            dup2(nothing, STDIN_FILENO);
        if (chdir(folder) == 0)
            execlp("gnuplot", "gnuplot", SCRIPT, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            child = -1;
    if (child < 0)
        return mr_fail(MR_EFILE, "%s: cannot start gnuplot: %s", what, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return mr_fail(MR_ENODEV, "%s: gnuplot is not installed (package gnuplot-nox)", what);
    if (WIFSIGNALED(status))
        return mr_fail(MR_EFILE, "%s: gnuplot was stopped by signal %d", what, WTERMSIG(status));
    return status ? mr_fail(MR_EFILE, "%s: gnuplot failed (version 5 or later is needed)", what) : 0;
}

int mr_gnuplot(const char *folder, const struct mr_str *script, const char *const *pictures, int count,
               const char *what)
{
    char at[PATH_MAX], picture[PATH_MAX], final[PATH_MAX];
    snprintf(at, sizeof at, "%s/" SCRIPT, folder);
    MR_TRY(mr_file_write(at, script->text, script->size));
    int err = run_gnuplot(folder, what);
    unlink(at);
    for (int i = 0; i < count; i++) {
        snprintf(picture, sizeof picture, "%s/%s.tmp", folder, pictures[i]);
        snprintf(final, sizeof final, "%s/%s", folder, pictures[i]);
        if (!err && rename(picture, final))
            err = mr_fail(MR_EFILE, "%s: %s: %s", what, final, strerror(errno));
        if (err)
            unlink(picture);
    }
    return err;
}
