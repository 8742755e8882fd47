/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "data/unpack.h"

int mr_stream_open(struct mr_stream *s, int fd, const char *path)
{
    *s = (struct mr_stream){.path = path, .buffer = mr_alloc(MR_STREAM_ROOM, 1)};
    int err = s->buffer ? mr_unpacker_open(&s->packed, fd, path) : 0;
    if (err)
        mr_stream_close(s);
    if (err || s->packed)
        return err;
    s->file = s->buffer ? gzdopen(fd, "rb") : NULL; /* plain files pass through it */
    if (!s->file) {
        close(fd);
        mr_stream_close(s);
        return mr_fail(MR_ENOMEM, "out of memory while %s is opened", path);
    }
    gzbuffer(s->file, MR_STREAM_ROOM);
    return 0;
}

void mr_stream_close(struct mr_stream *s)
{
    if (s->file)
        gzclose_r(s->file);
    mr_unpacker_close(s->packed);
    free(s->buffer);
    *s = (struct mr_stream){0};
}

static int failed(struct mr_stream *s, int code, const char *message)
{
    if (code == Z_MEM_ERROR)
        return mr_fail(MR_ENOMEM, "out of memory while %s is unpacked", s->path);
    return mr_fail(MR_EFILE, "%s cannot be read: %s", s->path,
                   code == Z_ERRNO       ? strerror(errno)
                   : code == Z_BUF_ERROR ? "the gzip file is cut short"
                                         : message);
}

int mr_stream_fill(struct mr_stream *s)
{
    memmove(s->buffer, s->buffer + s->at, s->size - s->at);
    s->base += s->at;
    s->size -= s->at;
    s->at = 0;
    if (s->packed) {
        size_t size;
        MR_TRY(mr_unpacker_read(s->packed, s->buffer + s->size, MR_STREAM_ROOM - s->size, &size));
        s->end = size == 0 && s->size < MR_STREAM_ROOM;
        s->size += size;
        return 0;
    }
    int room = (int)(MR_STREAM_ROOM - s->size), n = gzread(s->file, s->buffer + s->size, (unsigned)room);
    int code = Z_OK;
    const char *message = n < room ? gzerror(s->file, &code) : "";
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        return failed(s, code, message);
    s->end = n == 0;
    s->size += (size_t)n;
    return 0;
}

int mr_stream_seek(struct mr_stream *s, uint64_t place)
{
    s->at = s->size = 0;
    s->base = place;
    s->end = false;
    if (s->packed)
        return mr_unpacker_seek(s->packed, place);
    if (gzseek(s->file, (z_off_t)place, SEEK_SET) >= 0)
        return 0;
    int code = Z_OK;
    const char *message = gzerror(s->file, &code);
    return failed(s, code, message);
}
