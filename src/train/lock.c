/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/str.h"

enum { TRIES = 100 };

static int held_by_another(int fd, const char *folder)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    long owner = n > 0 ? strtol(text, NULL, 10) : 0;
    if (owner > 0)
        return mr_fail(MR_EFILE, "process %ld is training in %s: stop it, wait for it, or choose another out_dir",
                       owner, folder);
    return mr_fail(MR_EFILE, "another process is training in %s: wait for it, or choose another out_dir", folder);
}

/* 1: taken; 0: its last owner removed the file meanwhile, try again. */
static int try_once(struct mr_lock *lock, const char *folder)
{
    struct stat opened, named;
    int fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0)
        return mr_fail(MR_EFILE, "cannot write %s: %s; choose another out_dir", lock->path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        int err = errno == EWOULDBLOCK ? held_by_another(fd, folder) : 1;
        if (err == 1)
            mr_log(MR_LOG_WARNING, "cannot lock %s against a second run: %s", folder, strerror(errno));
        close(fd);
        return err;
    }
    if (fstat(fd, &opened) || stat(lock->path, &named) || opened.st_ino != named.st_ino ||
        opened.st_dev != named.st_dev) {
        close(fd);
        return 0;
    }
    lock->fd = fd;
    if (ftruncate(fd, 0) || dprintf(fd, "%ld\n", (long)getpid()) < 0)
        mr_log(MR_LOG_WARNING, "cannot write %s: %s", lock->path, strerror(errno));
    return 1;
}

int mr_lock_take(struct mr_lock *lock, const char *folder)
{
    struct mr_str path = {0};
    *lock = (struct mr_lock){.fd = -1};
    MR_TRY(mr_str_printf(&path, "%s/run.lock", folder));
    lock->path = path.text;
    int taken = 0;
    for (int i = 0; i < TRIES && !taken; i++)
        taken = try_once(lock, folder);
    if (taken > 0)
        return 0;
    free(lock->path);
    lock->path = NULL;
    return taken < 0 ? taken : mr_fail(MR_EFILE, "cannot lock %s: other runs keep starting and ending there", folder);
}

void mr_lock_drop_in(struct mr_lock *lock, const char *folder)
{
    struct mr_str path = {0};
    if (!mr_str_printf(&path, "%s/run.lock", folder)) {
        free(lock->path);
        lock->path = path.text;
    }
    mr_lock_drop(lock);
}

void mr_lock_drop(struct mr_lock *lock)
{
    if (lock->path && lock->fd >= 0) {
        unlink(lock->path);
        close(lock->fd);
    }
    free(lock->path);
    *lock = (struct mr_lock){.fd = -1};
}
