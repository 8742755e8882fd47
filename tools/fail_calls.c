/* SPDX-License-Identifier: GPL-3.0-or-later
 * Calls on files that fail, a clock that jumps (FAULT_CLOCK), and the decision for all. */
#include "fail_calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name, type, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))

/* ---- the decision ---- */

enum { MOST_RANGES = 64 };

static struct {
    const char *begin, *end;
} ranges[MOST_RANGES];
static int range_count;
static atomic_int calls;

static int add_ranges(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = {"microrwkv", "jansson", "libzip", "libz.", "pcre2", "utf8proc"};
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : info->dlpi_name;
    int counts = !*info->dlpi_name; /* the program */
    (void)size;
    (void)context;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        counts |= strstr(name, names[i]) != NULL;
    for (int i = 0; counts && i < info->dlpi_phnum && range_count < MOST_RANGES; i++) {
        const char *begin = (const char *)info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type == PT_LOAD && info->dlpi_phdr[i].p_flags & PF_X) {
            ranges[range_count].begin = begin;
            ranges[range_count++].end = begin + info->dlpi_phdr[i].p_memsz;
        }
    }
    return 0;
}

/* Not in compilers that a driver runs. */
__attribute__((constructor)) static void find_ranges(void)
{
    if (!strncmp(program_invocation_short_name, "microrwkv", 9))
        dl_iterate_phdr(add_ranges, NULL);
}

int fault_caller_counts(const void *address)
{
    const char *at = address;
    for (int i = 0; i < range_count; i++)
        if (at >= ranges[i].begin && at < ranges[i].end)
            return 1;
    return 0;
}

static void make_file(const char *path, const char *text)
{
    int (*real_open)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd >= 0 && NEXT(write, ssize_t, int, const void *, size_t)(fd, text, strlen(text)) >= 0)
        close(fd);
}

__attribute__((destructor)) static void tell_count(void)
{
    const char *path = getenv("FAULT_COUNT");
    char text[16];
    snprintf(text, sizeof text, "%d", calls);
    if (path && range_count)
        make_file(path, text);
}

int fault_number(void)
{
    const char *number = getenv("FAULT_ERRNO");
    return number ? atoi(number) : 0;
}

int fault_here(const char *name, const char *group, const char *path)
{
    const char *wanted = getenv("FAULT_NAME"), *below = getenv("FAULT_BELOW"), *nth = getenv("FAULT_NTH");
    const char *mark = getenv("FAULT_MARK");
    if (!range_count || !wanted || !nth || (strcmp(name, wanted) && (!group || strcmp(group, wanted))))
        return 0;
    if (path && (!below || strncmp(path, below, strlen(below))))
        return 0;
    int call = ++calls, n = atoi(nth);
    if (n < 1 || (call != n && !(getenv("FAULT_ON") && call > n)))
        return 0;
    if (mark && call == n)
        make_file(mark, "");
    errno = fault_number();
    return 1;
}

/* ---- files ---- */

static int fails_on(const char *name, int fd)
{
    char link[64], path[PATH_MAX];
    int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    errno = before;
    return fault_here(name, NULL, path);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return fails_on("write", fd) ? -1 : NEXT(write, ssize_t, int, const void *, size_t)(fd, data, size);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return fails_on("pwrite", fd) ? -1
                                  : NEXT(pwrite64, ssize_t, int, const void *, size_t, off64_t)(fd, data, size, at);
}

ssize_t pread64(int fd, void *data, size_t size, off64_t at)
{
    return fails_on("pread", fd) ? -1 : NEXT(pread64, ssize_t, int, void *, size_t, off64_t)(fd, data, size, at);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset)
{
    if (fd >= 0 && fails_on("mmap", fd))
        return MAP_FAILED;
    return NEXT(mmap64, void *, void *, size_t, int, int, int, off64_t)(at, size, protection, flags, fd, offset);
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
    return fault_here("rename", NULL, to) ? -1 : NEXT(rename, int, const char *, const char *)(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    return fault_here("mkdir", NULL, path) ? -1 : NEXT(mkdir, int, const char *, mode_t)(path, mode);
}

int link(const char *from, const char *to)
{
    return fault_here("link", NULL, to) ? -1 : NEXT(link, int, const char *, const char *)(from, to);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (fault_here(flags & O_CREAT ? "create" : "open", NULL, path))
        return -1;
    return NEXT(open64, int, const char *, int, ...)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = flags & O_CREAT ? va_arg(args, int) : 0;
    va_end(args);
    if (fault_here(flags & O_CREAT ? "create" : "open", NULL, path))
        return -1;
    return NEXT(open, int, const char *, int, ...)(path, flags, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    if (fault_here(*mode == 'r' ? "open" : "create", NULL, path))
        return NULL;
    return NEXT(fopen, FILE *, const char *, const char *)(path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    if (fault_here(*mode == 'r' ? "open" : "create", NULL, path))
        return NULL;
    return NEXT(fopen64, FILE *, const char *, const char *)(path, mode);
}

/* ---- threads and time ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *), void *context)
{
    if (fault_caller_counts(__builtin_return_address(0)) && fault_here("pthread_create", NULL, NULL))
        return errno;
    return NEXT(pthread_create, int, pthread_t *, const pthread_attr_t *, void *(*)(void *), void *)(thread, attributes,
                                                                                                     start, context);
}

/* With FAULT_CLOCK=jump the program's clocks go forward and back by a day, in turn; with FAULT_CLOCK=stand they stand.
 */
int clock_gettime(clockid_t clock, struct timespec *time)
{
    static atomic_int asked;
    int status = NEXT(clock_gettime, int, clockid_t, struct timespec *)(clock, time);
    const char *how = fault_caller_counts(__builtin_return_address(0)) ? getenv("FAULT_CLOCK") : NULL;
    if (how && !strcmp(how, "stand"))
        *time = (struct timespec){.tv_sec = 100000};
    else if (how)
        time->tv_sec += ++asked % 2 ? 86400 : -86400;
    return status;
}
