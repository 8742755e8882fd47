/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"

struct mr_reader {
    int fd;
    uint64_t size;
    char *path;
};

/* The descriptor of a regular file, or an error that says what the path is instead. */
static int open_regular(const char *path, uint64_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block here */
    if (fd < 0)
        return mr_fail(MR_EFILE, "cannot open %s: %s", path, strerror(errno));
    struct stat st;
    int err = 0;
    if (fstat(fd, &st))
        err = mr_fail(MR_EFILE, "cannot stat %s: %s", path, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        err = mr_fail(MR_EFILE, "%s is a folder, not a file", path);
    else if (!S_ISREG(st.st_mode))
        err = mr_fail(MR_EFILE, "%s is not a regular file", path);
    if (err) {
        close(fd);
        return err;
    }
    *size = (uint64_t)st.st_size;
    return fd;
}

int mr_reader_open(mr_reader **out, const char *path)
{
    mr_reader *in = mr_alloc(1, sizeof *in);
    if (!in)
        return MR_ENOMEM;
    in->fd = open_regular(path, &in->size);
    in->path = in->fd < 0 ? NULL : mr_strdup(path);
    if (!in->path) {
        int err = in->fd < 0 ? in->fd : MR_ENOMEM;
        mr_reader_close(in);
        return err;
    }
    *out = in;
    return 0;
}

void mr_reader_close(mr_reader *in)
{
    if (!in)
        return;
    if (in->fd >= 0)
        close(in->fd);
    free(in->path);
    free(in);
}

uint64_t mr_reader_size(const mr_reader *in)
{
    return in->size;
}

int mr_reader_read(const mr_reader *in, uint64_t offset, void *to, size_t size)
{
    if (offset > in->size || size > in->size - offset)
        return mr_fail(MR_EFILE, "%s is cut short: it ends at byte %llu, but bytes %llu to %llu are needed", in->path,
                       (unsigned long long)in->size, (unsigned long long)offset, (unsigned long long)(offset + size));
    char *p = to;
    while (size) {
        ssize_t n = pread(in->fd, p, size < 1u << 30 ? size : 1u << 30, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mr_fail(MR_EFILE, "cannot read %s at byte %llu: %s", in->path, (unsigned long long)offset,
                           strerror(errno));
        if (n == 0)
            return mr_fail(MR_EFILE, "%s shrank while it was being read: it now ends at byte %llu", in->path,
                           (unsigned long long)offset);
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int mr_map_open(struct mr_map *map, const char *path)
{
    *map = (struct mr_map){0};
    uint64_t size;
    int fd = open_regular(path, &size);
    if (fd < 0)
        return fd;
    int err = 0;
    if (size > SIZE_MAX)
        err = mr_fail(MR_EFILE, "%s: cannot map %llu bytes", path, (unsigned long long)size);
    else if (size) {
        void *data = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED)
            err = mr_fail(MR_EFILE, "cannot map %s: %s", path, strerror(errno));
        else
            *map = (struct mr_map){data, (size_t)size};
    }
    close(fd);
    return err;
}

void mr_map_close(struct mr_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (struct mr_map){0};
}

int mr_file_read(const char *path, size_t limit, struct mr_str *text)
{
    mr_reader *in;
    MR_TRY(mr_reader_open(&in, path));
    int err;
    char *buffer = NULL;
    if (in->size > limit) {
        err =
            mr_fail(MR_EFILE, "%s has %llu bytes; at most %zu are expected", path, (unsigned long long)in->size, limit);
        goto fail;
    }
    if (!(buffer = mr_alloc((size_t)in->size, 1))) {
        err = MR_ENOMEM;
        goto fail;
    }
    MR_GO(mr_reader_read(in, 0, buffer, (size_t)in->size));
    MR_GO(mr_str_append(text, buffer, (size_t)in->size));
fail:
    free(buffer);
    mr_reader_close(in);
    return err;
}

bool mr_is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

bool mr_is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}
