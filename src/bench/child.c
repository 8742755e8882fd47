/* SPDX-License-Identifier: GPL-3.0-or-later
 * Lines of JSON through a pipe. The last one of a process that fails is {"error": code, "text": …}. */
#include "bench/child.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "base/json.h"
#include "base/progress.h"
#include "base/str.h"
#include "rt/rt.h"

/* ---- in the new process -------------------------------------------------------------------------------------- */

int mr_write_line(int fd, const json_t *line)
{
    struct mr_str text = {0};
    char *json = line ? mr_json_text(line) : NULL;
    int err = json ? mr_str_printf(&text, "%s\n", json) : mr_fail(MR_ENOMEM, "out of memory for a line of results");
    for (size_t at = 0; !err && at < text.size;) {
        ssize_t n = write(fd, text.text + at, text.size - at);
        if (n < 0 && errno != EINTR)
            err = mr_fail(MR_EFILE, "cannot write results: %s", strerror(errno));
        at += n > 0 ? (size_t)n : 0;
    }
    free(json);
    mr_str_free(&text);
    return err;
}

static int put_line(void *to, json_t *line)
{
    int err = mr_write_line(*(const int *)to, line);
    json_decref(line);
    return err;
}

static _Noreturn void live(const struct mr_child *child, int fd)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    signal(SIGPIPE, SIG_IGN);
    int err = child->work(child->context, put_line, &fd);
    if (err < 0)
        put_line(&fd, json_pack("{si ss}", "error", err, "text", mr_error_text()));
    _exit(0);
}

/* ---- in the old one ------------------------------------------------------------------------------------------ */

struct reader {
    const struct mr_child *child;
    pid_t pid;
    int fd;
    struct mr_str text; /* what came since the last line */
    double heard;       /* when something came */
    bool killed, asked;
    int result; /* what the process said of itself */
};

static int take(struct reader *r, const char *text, size_t size)
{
    json_t *line = json_loadb(text, size, 0, NULL);
    int64_t code;
    if (!line)
        return 0; /* what a dying process wrote half */
    if (json_object_get(line, "error") && mr_json_int(line, "error", INT32_MIN, -1, &code) == 0) {
        const char *why = json_string_value(json_object_get(line, "text"));
        r->result = mr_fail((int)code, "%s", why ? why : "failed");
        json_decref(line);
        return 0;
    }
    return r->child->line(r->child->listener, line);
}

static int take_lines(struct reader *r, const char *bytes, size_t size)
{
    size_t from = 0;
    MR_TRY(mr_str_append(&r->text, bytes, size));
    for (char *end; (end = memchr(r->text.text + from, '\n', r->text.size - from));) {
        size_t at = (size_t)(end - r->text.text);
        MR_TRY(take(r, r->text.text + from, at - from));
        from = at + 1;
    }
    memmove(r->text.text, r->text.text + from, r->text.size - from);
    r->text.size -= from;
    return 0;
}

/* 1: there is something to read; 0: not yet. Kills where patience is at its end. */
static int wait_for_more(struct reader *r)
{
    struct pollfd from = {.fd = r->fd, .events = POLLIN};
    int ready = poll(&from, 1, 100);
    if (*r->child->stop && !r->asked) {
        r->asked = true;
        kill(r->pid, SIGTERM);
    }
    if (ready <= 0 && r->child->patience > 0 && mr_now() - r->heard > r->child->patience && !r->killed) {
        r->killed = true;
        kill(r->pid, SIGKILL);
    }
    return ready > 0;
}

static int read_all(struct reader *r)
{
    char bytes[1 << 16];
    for (;;) {
        if (!wait_for_more(r))
            continue;
        ssize_t n = read(r->fd, bytes, sizeof bytes);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return mr_fail(MR_EFILE, "cannot read the results of a measurement: %s", strerror(errno));
        r->heard = mr_now();
        if (n > 0)
            MR_TRY(take_lines(r, bytes, (size_t)n));
    }
}

/* How the process ended, where it did not say so itself. */
static int judge(const struct reader *r, int status)
{
    if (r->killed)
        return mr_fail(MR_EDEVICE, "nothing came for %.0f s: the process was ended", r->child->patience);
    if (WIFSIGNALED(status))
        return mr_fail(MR_EDEVICE, "the process died of signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (r->result < 0)
        return r->result;
    return WEXITSTATUS(status) ? mr_fail(MR_EDEVICE, "the process ended with status %d", WEXITSTATUS(status)) : 0;
}

int mr_child_run(const struct mr_child *child)
{
    int ends[2], status = 0;
    fflush(NULL);
    if (pipe(ends))
        return mr_fail(MR_EFILE, "cannot make a pipe: %s", strerror(errno));
    struct reader r = {.child = child, .fd = ends[0], .heard = mr_now(), .pid = fork()};
    if (r.pid == 0) {
        close(ends[0]);
        live(child, ends[1]);
    }
    close(ends[1]);
    if (r.pid < 0) {
        close(ends[0]);
        return mr_fail(MR_EFILE, "cannot start a process: %s", strerror(errno));
    }
    int err = read_all(&r);
    if (err < 0)
        kill(r.pid, SIGKILL);
    while (waitpid(r.pid, &status, 0) < 0 && errno == EINTR)
        ;
    close(r.fd);
    mr_str_free(&r.text);
    return err < 0 ? err : judge(&r, status);
}

/* ---- devices ------------------------------------------------------------------------------------------------- */

static int put_device(const struct mr_device_info *d, int (*put)(void *to, json_t *line), void *to)
{
    return put(to, json_pack("{si so so sb sb}", "index", d->index, "name", mr_json_repaired(d->name, strlen(d->name)),
                             "platform", mr_json_repaired(d->platform, strlen(d->platform)), "gpu", d->is_gpu, "cpu",
                             d->is_cpu));
}

/* All of them, or the one that is taken where none is named. */
static int list_devices(void *context, int (*put)(void *to, json_t *line), void *to)
{
    const bool *all = context;
    struct mr_device_info *list = NULL;
    mr_runtime *rt = NULL;
    int count = 0, err;
    if (!*all) {
        MR_TRY(mr_runtime_open(&rt, NULL));
        err = put_device(mr_runtime_info(rt), put, to);
        mr_runtime_close(rt);
        return err;
    }
    err = mr_device_list(&list, &count);
    for (int i = 0; i < count && !err; i++)
        err = put_device(&list[i], put, to);
    free(list);
    return err;
}

static int collect(void *listener, json_t *line)
{
    return mr_json_append(listener, line);
}

static bool matches(const json_t *device, const char *word, size_t size)
{
    char text[256];
    const char *name = json_string_value(json_object_get(device, "name"));
    const char *platform = json_string_value(json_object_get(device, "platform"));
    snprintf(text, sizeof text, "%.*s", (int)size, word);
    if (!strcmp(text, "all"))
        return true;
    if (*text && text[strspn(text, "0123456789")] == 0)
        return json_integer_value(json_object_get(device, "index")) == strtol(text, NULL, 10);
    if (!strcasecmp(text, "gpu") || !strncasecmp(text, "cuda", 4))
        return json_is_true(json_object_get(device, "gpu"));
    if (!strcasecmp(text, "cpu"))
        return json_is_true(json_object_get(device, "cpu"));
    return *text && ((name && strcasestr(name, text)) || (platform && strcasestr(platform, text)));
}

/* Adds the devices that one word of the list names; those that are there already are not added again. */
static int add_named(json_t *chosen, json_t *all, const char *word, size_t size)
{
    size_t i, j, found = 0;
    json_t *device, *other;
    json_array_foreach(all, i, device) {
        bool known = false;
        if (!matches(device, word, size))
            continue;
        found++;
        json_array_foreach(chosen, j, other)
            known = known || other == device;
        if (!known)
            MR_TRY(mr_json_append(chosen, json_incref(device)));
    }
    if (found)
        return 0;
    struct mr_str names = {0};
    json_array_foreach(all, i, device)
        mr_str_printf(
            &names, "%s%d '%s' (%s)", i ? ", " : "", (int)json_integer_value(json_object_get(device, "index")),
            json_string_value(json_object_get(device, "name")), json_string_value(json_object_get(device, "platform")));
    mr_fail(MR_ENODEV, "no OpenCL device matches '%.*s'; there are: %s", (int)size, word,
            names.text ? names.text : "none");
    mr_str_free(&names);
    return MR_ENODEV;
}

int mr_child_devices(const char *list, json_t **devices)
{
    static const volatile sig_atomic_t never;
    json_t *all = json_array(), *chosen = json_array();
    bool named = list && *list;
    struct mr_child child = {
        .work = list_devices, .context = &named, .line = collect, .listener = all, .patience = 60, .stop = &never};
    int err = all && chosen ? mr_child_run(&child) : MR_ENOMEM;
    for (const char *word = named ? list : "all"; !err && word; word = strchr(word, ',') ? strchr(word, ',') + 1 : NULL)
        err = add_named(chosen, all, word, strcspn(word, ","));
    json_decref(all);
    if (err < 0)
        json_decref(chosen);
    else
        *devices = chosen;
    return err;
}
