/* SPDX-License-Identifier: GPL-3.0-or-later
 * The bytes of a file, plain or packed by gzip, xz or zstd, through one buffer. */
#ifndef MR_DATA_STREAM_H
#define MR_DATA_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MR_STREAM_ROOM = 1 << 17 };

struct mr_stream {
    const char *path; /* for messages; the caller's */
    void *file;       /* zlib's; or */
    struct mr_unpacker *packed;
    char *buffer; /* MR_STREAM_ROOM bytes, of which at … size are still to be read */
    size_t at, size;
    uint64_t base; /* the place of buffer[0] in the unpacked file */
    bool end;      /* of the file: nothing can be added to the buffer */
};

/* Takes over the file descriptor, also on failure. */
int mr_stream_open(struct mr_stream *s, int fd, const char *path);
void mr_stream_close(struct mr_stream *s); /* {0} is fine */
/* Adds what fits behind the bytes that are still to be read. */
int mr_stream_fill(struct mr_stream *s);
/* Goes on at another place of the unpacked file. */
int mr_stream_seek(struct mr_stream *s, uint64_t place);

#endif
