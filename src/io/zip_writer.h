/* SPDX-License-Identifier: GPL-3.0-or-later
 * A zip archive of stored files, written front to back, each file's bytes at a multiple of 64 as torch has
 * it. (libzip, which reads them, writes only when it is given everything at once, and aligns nothing.) */
#ifndef MR_IO_ZIP_WRITER_H
#define MR_IO_ZIP_WRITER_H

#include "base/file.h"

struct mr_zip_writer {
    mr_writer *out;        /* the caller's; nothing was written to it before */
    struct mr_str central; /* the directory so far */
    uint64_t count;
    uint64_t header, size, left; /* of the file in work: where its header is, its size, bytes to come */
    uint32_t crc;
    size_t record; /* where its entry begins in central */
};

/* Begins a file of exactly `size` bytes; then they are appended; then it ends. */
int mr_zip_begin(struct mr_zip_writer *zip, const char *name, uint64_t size);
int mr_zip_append(struct mr_zip_writer *zip, const void *data, size_t size);
int mr_zip_end(struct mr_zip_writer *zip);
/* The directory. */
int mr_zip_finish(struct mr_zip_writer *zip);
void mr_zip_free(struct mr_zip_writer *zip);

#endif
