/* SPDX-License-Identifier: GPL-3.0-or-later
 * For tools/faults.py, by LD_PRELOAD: the FAULT_NTH-th call of the function FAULT_NAME on a file below FAULT_BELOW
 * fails with FAULT_ERRNO, and all later ones too where FAULT_ON is set (a full disk). FAULT_MARK is a file that is made
 * then. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

static int real_open(const char *path, int flags)
{
    int (*call)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    return call(path, flags, 0666);
}

static int fails(const char *name, const char *path)
{
    const char *wanted = getenv("FAULT_NAME"), *below = getenv("FAULT_BELOW"), *nth = getenv("FAULT_NTH");
    const char *mark = getenv("FAULT_MARK"), *number = getenv("FAULT_ERRNO");
    if (!wanted || !below || !nth || !mark || !number || strcmp(name, wanted) || strncmp(path, below, strlen(below)))
        return 0;
    int call = ++calls;
    if (call != atoi(nth) && !(getenv("FAULT_ON") && call > atoi(nth)))
        return 0;
    close(real_open(mark, O_WRONLY | O_CREAT | O_CLOEXEC));
    errno = atoi(number);
    return 1;
}

static int fails_on(const char *name, int fd)
{
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    errno = before;
    return fails(name, path);
}

#define NEXT(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size)
{
    return fails_on("write", fd) ? -1 : NEXT(write, ssize_t, int, const void *, size_t)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return fails_on("pwrite", fd) ? -1
                                  : NEXT(pwrite64, ssize_t, int, const void *, size_t, off64_t)(fd, data, size, at);
}

int ftruncate64(int fd, off64_t size)
{
    return fails_on("ftruncate", fd) ? -1 : NEXT(ftruncate64, int, int, off64_t)(fd, size);
}

int fsync(int fd)
{
    return fails_on("fsync", fd) ? -1 : NEXT(fsync, int, int)(fd);
}

int rename(const char *from, const char *to)
{
    return fails("rename", to) ? -1 : NEXT(rename, int, const char *, const char *)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return fails("mkdir", path) ? -1 : NEXT(mkdir, int, const char *, mode_t)(path, mode);
}

int link(const char *from, const char *to)
{
    return fails("link", to) ? -1 : NEXT(link, int, const char *, const char *)(from, to);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (fails(flags & O_CREAT ? "create" : "open", path))
        return -1;
    return NEXT(open64, int, const char *, int, ...)(path, flags, mode);
}
