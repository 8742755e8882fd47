/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/chunk.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

#include "base/error.h"

enum { PIECE = 64, WINDOW_BITS = -15, MEMORY = 9 };

/* With a constant width these become vector code. */
static inline __attribute__((always_inline)) size_t shuffle_pieces(const uint8_t *restrict in, uint8_t *restrict out,
                                                                   size_t n, const size_t width)
{
    size_t e = 0;
    for (; e + PIECE <= n; e += PIECE)
        for (size_t b = 0; b < width; b++)
            for (size_t k = 0; k < PIECE; k++)
                out[b * n + e + k] = in[(e + k) * width + b];
    return e;
}

static inline __attribute__((always_inline)) size_t unshuffle_pieces(const uint8_t *restrict in, uint8_t *restrict out,
                                                                     size_t n, const size_t width)
{
    size_t e = 0;
    for (; e + PIECE <= n; e += PIECE)
        for (size_t k = 0; k < PIECE; k++)
            for (size_t b = 0; b < width; b++)
                out[(e + k) * width + b] = in[b * n + e + k];
    return e;
}

void mr_shuffle(const uint8_t *restrict in, uint8_t *restrict out, size_t size, size_t width)
{
    size_t n = size / width;
    size_t e = width == 4 ? shuffle_pieces(in, out, n, 4) : width == 2 ? shuffle_pieces(in, out, n, 2) : 0;
    for (; e < n; e++)
        for (size_t b = 0; b < width; b++)
            out[b * n + e] = in[e * width + b];
}

void mr_unshuffle(const uint8_t *restrict in, uint8_t *restrict out, size_t size, size_t width)
{
    size_t n = size / width;
    size_t e = width == 4 ? unshuffle_pieces(in, out, n, 4) : width == 2 ? unshuffle_pieces(in, out, n, 2) : 0;
    for (; e < n; e++)
        for (size_t b = 0; b < width; b++)
            out[e * width + b] = in[b * n + e];
}

size_t mr_chunk_bound(size_t size)
{
    return size + size / 16 + 1024;
}

/* Whether coding these bytes one by one would gain less than 1%: their entropy is almost 8 bits. */
static int is_noise(const uint8_t *p, size_t n)
{
    uint32_t count[4][256] = {{0}}; /* four, so that equal neighbours do not wait for each other */
    if (n < 4096)
        return 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            count[k][p[i + k]]++;
    double bits = 0;
    for (int v = 0; v < 256; v++) {
        double c = (double)count[0][v] + count[1][v] + count[2][v] + count[3][v];
        if (c > 0)
            bits -= c * log2(c / (double)i);
    }
    return bits > 7.92 * (double)i;
}

static int deflate_planes(z_stream *z, uint8_t *planes, size_t size, size_t width, int level)
{
    size_t n = size / width;
    for (size_t b = 0; b < width; b++) {
        z->next_in = planes + b * n;
        if (level == 1 && deflateParams(z, is_noise(planes + b * n, n) ? 0 : 1, Z_HUFFMAN_ONLY) != Z_OK)
            return -1;
        z->avail_in = (uInt)n;
        int last = b + 1 == width, result = deflate(z, last ? Z_FINISH : Z_NO_FLUSH);
        if (result != (last ? Z_STREAM_END : Z_OK) || z->avail_in)
            return -1;
    }
    return 0;
}

int mr_chunk_pack(const uint8_t *raw, uint8_t *spare, size_t size, size_t width, int level, uint8_t *packed,
                  size_t *packed_size)
{
    z_stream z = {.next_out = packed, .avail_out = (uInt)mr_chunk_bound(size)};
    mr_shuffle(raw, spare, size, width);
    if (deflateInit2(&z, level, Z_DEFLATED, WINDOW_BITS, MEMORY, level == 1 ? Z_HUFFMAN_ONLY : Z_DEFAULT_STRATEGY))
        return mr_fail(MR_ENOMEM, "out of memory for packing");
    int failed = deflate_planes(&z, spare, size, width, level);
    *packed_size = mr_chunk_bound(size) - z.avail_out;
    deflateEnd(&z);
    return failed ? mr_fail(MR_EINVAL, "zlib cannot pack %zu bytes", size) : 0;
}

int mr_chunk_unpack(const uint8_t *packed, size_t packed_size, uint8_t *spare, uint8_t *raw, size_t size, size_t width)
{
    z_stream z = {.next_in = (uint8_t *)(uintptr_t)packed, .avail_in = (uInt)packed_size};
    if (inflateInit2(&z, WINDOW_BITS))
        return mr_fail(MR_ENOMEM, "out of memory for unpacking");
    z.next_out = spare;
    z.avail_out = (uInt)size;
    int result = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    if (result == Z_MEM_ERROR)
        return mr_fail(MR_ENOMEM, "out of memory for unpacking");
    if (result != Z_STREAM_END || z.avail_out || z.avail_in)
        return mr_fail(MR_EFILE, "the packed bytes do not unpack to %zu bytes", size);
    mr_unshuffle(spare, raw, size, width);
    return 0;
}
