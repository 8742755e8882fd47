/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file.h"

enum { BUFFER = 1 << 18, NAMES = 100 };

struct mr_writer {
    int fd, error; /* the first failure; nothing is written after it */
    char *path, *temporary;
    uint64_t position; /* bytes accepted, of which the last `held` are still in buffer */
    size_t held;
    char *buffer;
};

static const char *advice(int code)
{
    switch (code) {
    case ENOSPC:
        return "; free some space or write elsewhere";
    case EDQUOT:
        return "; your disk quota is used up";
    case EFBIG:
        return "; the file system or a limit (ulimit -f) does not allow a file of this size";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; choose a writable folder";
    default:
        return "";
    }
}

static int fail_errno(mr_writer *out, const char *verb)
{
    int code = errno;
    return out->error = mr_fail(MR_EFILE, "cannot %s %s: %s%s", verb, out->path, strerror(code), advice(code));
}

/* Opens and locks one candidate for the temporary file; *busy when another writer holds it. */
static int open_temporary(mr_writer *out, bool *busy)
{
    *busy = false;
    int fd = open(out->temporary, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0)
        return fail_errno(out, "write");
    struct stat opened, named;
    if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
        *busy = true;
    else if (fstat(fd, &opened) || stat(out->temporary, &named) || opened.st_ino != named.st_ino ||
             opened.st_dev != named.st_dev || !S_ISREG(opened.st_mode))
        *busy = true; /* its writer gave it its final name between our open and our lock */
    if (*busy) {
        close(fd);
        return 0;
    }
    out->fd = fd;
    return ftruncate(fd, 0) ? fail_errno(out, "write") : 0;
}

/* A symbolic link is written through: what it points to gets the new content. */
static char *resolve(const char *path)
{
    struct stat st;
    if (!lstat(path, &st) && S_ISLNK(st.st_mode)) {
        char *real = realpath(path, NULL);
        if (real)
            return real;
    }
    return mr_strdup(path);
}

int mr_writer_open(mr_writer **result, const char *path)
{
    int err;
    mr_writer *out = mr_alloc(1, sizeof *out);
    if (!out)
        return MR_ENOMEM;
    out->fd = -1;
    out->path = resolve(path);
    size_t capacity = strlen(path) + PATH_MAX + 16;
    out->temporary = mr_alloc(capacity, 1);
    out->buffer = mr_alloc(BUFFER, 1);
    if (!out->path || !out->temporary || !out->buffer) {
        err = MR_ENOMEM;
        goto fail;
    }
    struct stat old;
    bool exists = !stat(out->path, &old);
    if (exists && !S_ISREG(old.st_mode)) {
        err = mr_fail(MR_EFILE, "cannot write %s: it is %s, not a file", path,
                      S_ISDIR(old.st_mode) ? "a folder" : "a device, pipe or socket");
        goto fail;
    }
    bool busy = true;
    for (int i = 0; i < NAMES && busy; i++) {
        snprintf(out->temporary, capacity, i ? "%s.tmp%d" : "%s.tmp", out->path, i);
        MR_GO(open_temporary(out, &busy));
    }
    if (busy) {
        err = mr_fail(MR_EFILE, "cannot write %s: %d other processes are writing it", path, NAMES);
        goto fail;
    }
    if (exists)
        (void)!fchmod(out->fd, old.st_mode & 07777); /* keeping the mode is a courtesy */
    *result = out;
    return 0;
fail:
    mr_writer_discard(out);
    return err;
}

static int write_all(mr_writer *out, const char *p, size_t size)
{
    while (size) {
        ssize_t n = write(out->fd, p, size < 1u << 30 ? size : 1u << 30);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(out, "write");
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

static int flush(mr_writer *out)
{
    size_t held = out->held;
    out->held = 0;
    return write_all(out, out->buffer, held);
}

int mr_writer_write(mr_writer *out, const void *data, size_t size)
{
    if (out->error)
        return out->error;
    if (size > BUFFER - out->held)
        MR_TRY(flush(out));
    if (size > BUFFER)
        MR_TRY(write_all(out, data, size));
    else if (size) {
        memcpy(out->buffer + out->held, data, size);
        out->held += size;
    }
    out->position += size;
    return 0;
}

int mr_writer_patch(mr_writer *out, uint64_t offset, const void *data, size_t size)
{
    if (out->error)
        return out->error;
    if (offset > out->position || size > out->position - offset)
        return mr_fail(MR_EINVAL, "bytes %llu to %llu of %s have not been written yet", (unsigned long long)offset,
                       (unsigned long long)(offset + size), out->path);
    MR_TRY(flush(out));
    for (const char *p = data; size;) {
        ssize_t n = pwrite(out->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(out, "write");
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

uint64_t mr_writer_position(const mr_writer *out)
{
    return out->position;
}

int mr_writer_sync(mr_writer *out)
{
    if (!out->error)
        out->error = flush(out);
    if (!out->error && fsync(out->fd))
        fail_errno(out, "write");
#ifdef POSIX_FADV_DONTNEED
    if (!out->error)
        posix_fadvise(out->fd, 0, 0, POSIX_FADV_DONTNEED);
#endif
    return out->error;
}

int mr_writer_read_back(mr_writer *out, uint64_t offset, void *to, size_t size)
{
    if (!out->error && out->held)
        out->error = flush(out);
    if (out->error)
        return out->error;
    for (char *p = to; size;) {
        ssize_t n = pread(out->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(out, "read back");
        if (n == 0)
            return out->error = mr_fail(MR_EFILE, "%s lost its end while it was written", out->path);
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* The new name must survive a power failure too; file systems that cannot say so are taken as they are. The file is
 * in place by now: a failure is a warning. */
static void sync_folder(mr_writer *out)
{
    char *slash = strrchr(out->temporary, '/');
    if (slash)
        slash[slash == out->temporary] = 0;
    int fd = open(slash ? out->temporary : ".", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* a folder may be writable without being readable */
    if (fsync(fd) && errno == EIO)
        mr_log(MR_LOG_WARNING,
               "%s was written, but a power failure may still lose it, since its folder could not be synced: %s",
               out->path, strerror(errno));
    close(fd);
}

int mr_writer_commit(mr_writer *out)
{
    int err = out->error;
    if (!err)
        err = flush(out);
    if (!err && fsync(out->fd))
        err = fail_errno(out, "write");
    if (!err && rename(out->temporary, out->path))
        err = fail_errno(out, "rename the temporary file of");
    if (err) {
        mr_writer_discard(out);
        return err;
    }
    sync_folder(out);
    close(out->fd);
    out->fd = -1;
    mr_writer_discard(out);
    return 0;
}

void mr_writer_discard(mr_writer *out)
{
    if (!out)
        return;
    if (out->fd >= 0) {
        unlink(out->temporary);
        close(out->fd);
    }
    free(out->path);
    free(out->temporary);
    free(out->buffer);
    free(out);
}

int mr_file_write(const char *path, const void *data, size_t size)
{
    mr_writer *out;
    MR_TRY(mr_writer_open(&out, path));
    int err = mr_writer_write(out, data, size);
    if (err) {
        mr_writer_discard(out);
        return err;
    }
    return mr_writer_commit(out);
}
