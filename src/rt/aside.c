/* SPDX-License-Identifier: GPL-3.0-or-later
 * PoCL compiles every kernel once more for a program's binary: a process of its own does that, at the lowest priority,
 * when this one's work is done. It is a copy of this process and only asks for binaries: entries get their names when
 * they are whole, so that it may be killed at any time. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"
#include "rt/internal.h"

enum { PATIENCE = 600 /* seconds that it may take */, HANDLES = 1024 };

static bool has_grown(const mr_runtime *rt)
{
    for (int i = 0; i < rt->program_count; i++)
        if (rt->programs[i]->grown)
            return true;
    return false;
}

/* Nothing of the process that it came from: neither its terminal, nor its files and locks, nor its signals. */
static void leave(void)
{
    const struct rlimit none = {0, 0};
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (int fd = 3; fd < HANDLES; fd++)
        close(fd);
    for (int i = 1; i < NSIG; i++)
        signal(i, SIG_DFL);
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &none);
    setpriority(PRIO_PROCESS, 0, 19);
    alarm(PATIENCE);
    mr_log_divert(NULL);
    mr_set_log(NULL, NULL);
}

/* One at a time; what others leave out comes with a later start. */
static bool is_alone(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB); /* until it ends */
}

bool mr_cache_write_aside(mr_runtime *rt)
{
    const char *wait = getenv("MICRORWKV_CACHE_WAIT");
    struct mr_str lock = {0};
    if ((wait && *wait) || !mr_compiles_late(rt) || !rt->cache_folder || rt->cache_read_only)
        return false;
    if (!has_grown(rt))
        return true;
    if (mr_str_printf(&lock, "%s/writing.lock", rt->cache_folder))
        return false;
    pid_t child = fork();
    if (!child) {
        setsid();
        if (fork())
            _exit(0); /* so that nobody has to wait for the other */
        leave();
        if (is_alone(lock.text))
            mr_cache_write(rt);
        _exit(0);
    }
    mr_str_free(&lock);
    if (child > 0) {
        waitpid(child, NULL, 0);
        mr_log(MR_LOG_INFO, "a process in the background caches the compiled kernels, so the next start is fast");
    }
    return child > 0;
}
