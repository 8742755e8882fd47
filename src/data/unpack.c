/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/unpack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef MR_LZMA
#include <lzma.h>
#endif
#ifdef MR_ZSTD
#include <zstd.h>
#endif

#include "base/alloc.h"
#include "base/error.h"

enum { ROOM = 1 << 16, LZMA_MEMORY = 1 << 30 };

struct codec {
    const char *kind, *library, *magic;
    size_t magic_size;
    int (*begin)(mr_unpacker *u); /* NULL: built without it */
    /* From u->in to the bytes at `to`; sets *size, and u->within: more must follow. */
    int (*run)(mr_unpacker *u, void *to, size_t room, size_t *size);
    void (*end)(mr_unpacker *u);
};

struct mr_unpacker {
    const struct codec *codec;
    int fd;
    const char *path;
    uint8_t in[ROOM];
    size_t at, size; /* of in, those that are still to be unpacked */
    bool in_end;     /* the file has no more */
    bool within;     /* bytes were read of something that has not ended */
    uint64_t place;  /* of the unpacked bytes */
#ifdef MR_LZMA
    lzma_stream lzma;
#endif
#ifdef MR_ZSTD
    ZSTD_DStream *zstd;
#endif
};

static int damaged(const mr_unpacker *u, const char *why)
{
    return mr_fail(MR_EFILE, "%s cannot be unpacked: %s", u->path, why);
}

__attribute__((unused)) static int no_memory(const mr_unpacker *u)
{
    return mr_fail(MR_ENOMEM, "out of memory while %s is unpacked", u->path);
}

#ifdef MR_LZMA

static int begin_xz(mr_unpacker *u)
{
    return lzma_stream_decoder(&u->lzma, LZMA_MEMORY, LZMA_CONCATENATED) == LZMA_OK ? 0 : no_memory(u);
}

static int run_xz(mr_unpacker *u, void *to, size_t room, size_t *size)
{
    u->lzma.next_in = u->in + u->at;
    u->lzma.avail_in = u->size - u->at;
    u->lzma.next_out = to;
    u->lzma.avail_out = room;
    lzma_ret ret = lzma_code(&u->lzma, u->in_end ? LZMA_FINISH : LZMA_RUN);
    u->at = u->size - u->lzma.avail_in;
    *size = room - u->lzma.avail_out;
    u->within = ret != LZMA_STREAM_END;
    if (ret == LZMA_OK || ret == LZMA_STREAM_END || (ret == LZMA_BUF_ERROR && !*size))
        return 0;
    return ret == LZMA_MEM_ERROR
               ? no_memory(u)
               : damaged(u, ret == LZMA_MEMLIMIT_ERROR ? "it needs more than 1 GiB of memory" : "it is damaged");
}

static void end_xz(mr_unpacker *u)
{
    lzma_end(&u->lzma);
}

#else
#define begin_xz NULL
#define run_xz NULL
#define end_xz NULL
#endif

#ifdef MR_ZSTD

static int begin_zstd(mr_unpacker *u)
{
    if (!u->zstd && !(u->zstd = ZSTD_createDStream()))
        return no_memory(u);
    ZSTD_initDStream(u->zstd);
    return 0;
}

static int run_zstd(mr_unpacker *u, void *to, size_t room, size_t *size)
{
    ZSTD_inBuffer in = {u->in, u->size, u->at};
    ZSTD_outBuffer out = {to, room, 0};
    size_t ret = ZSTD_decompressStream(u->zstd, &out, &in);
    if (ZSTD_isError(ret))
        return damaged(u, ZSTD_getErrorName(ret));
    if (in.pos > u->at || out.pos)
        u->within = ret != 0;
    u->at = in.pos;
    *size = out.pos;
    return 0;
}

static void end_zstd(mr_unpacker *u)
{
    ZSTD_freeDStream(u->zstd);
}

#else
#define begin_zstd NULL
#define run_zstd NULL
#define end_zstd NULL
#endif

static const struct codec codecs[] = {
    {"an xz file", "liblzma",
     "\xfd"
     "7zXZ",
     6, begin_xz, run_xz, end_xz},
    {"a zstd file", "libzstd", "\x28\xb5\x2f\xfd", 4, begin_zstd, run_zstd, end_zstd},
};

int mr_unpacker_open(mr_unpacker **out, int fd, const char *path)
{
    char head[6] = "";
    *out = NULL;
    if (pread(fd, head, sizeof head, 0) < 4)
        return 0;
    const struct codec *codec = codecs, *end = codecs + sizeof codecs / sizeof *codecs;
    while (codec < end && memcmp(head, codec->magic, codec->magic_size) != 0)
        codec++;
    if (codec == end)
        return 0;
    mr_unpacker *u = codec->begin ? mr_alloc(1, sizeof *u) : NULL;
    if (!u) {
        close(fd);
        return codec->begin ? MR_ENOMEM
                            : mr_fail(MR_ENODEV, "%s is %s, and this program was built without %s: unpack it first",
                                      path, codec->kind, codec->library);
    }
    *u = (mr_unpacker){.codec = codec, .fd = fd, .path = path};
    int err = mr_unpacker_seek(u, 0);
    if (err)
        mr_unpacker_close(u);
    else
        *out = u;
    return err;
}

void mr_unpacker_close(mr_unpacker *u)
{
    if (!u)
        return;
    u->codec->end(u);
    close(u->fd);
    free(u);
}

static int fill(mr_unpacker *u)
{
    ssize_t n;
    do {
        n = read(u->fd, u->in, ROOM);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return mr_fail(MR_EFILE, "%s cannot be read: %s", u->path, strerror(errno));
    u->at = 0;
    u->size = (size_t)n;
    u->in_end = n == 0;
    return 0;
}

int mr_unpacker_read(mr_unpacker *u, void *to, size_t room, size_t *size)
{
    for (*size = 0; room && !*size;) {
        if (u->at == u->size && !u->in_end)
            MR_TRY(fill(u));
        bool last = u->in_end;
        MR_TRY(u->codec->run(u, to, room, size));
        if (last && !*size)
            return u->within ? damaged(u, "it is cut short") : 0;
    }
    u->place += *size;
    return 0;
}

int mr_unpacker_seek(mr_unpacker *u, uint64_t place)
{
    char skipped[4096];
    if (place < u->place || !u->place) {
        if (lseek(u->fd, 0, SEEK_SET) < 0)
            return mr_fail(MR_EFILE, "%s cannot be read again: %s", u->path, strerror(errno));
        MR_TRY(u->codec->begin(u));
        u->at = u->size = 0;
        u->in_end = u->within = false;
        u->place = 0;
    }
    while (u->place < place) {
        size_t n = place - u->place < sizeof skipped ? (size_t)(place - u->place) : sizeof skipped, size;
        MR_TRY(mr_unpacker_read(u, skipped, n, &size));
        if (!size)
            return damaged(u, "it became shorter");
    }
    return 0;
}
