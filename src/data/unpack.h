/* SPDX-License-Identifier: GPL-3.0-or-later
 * The bytes of .xz and .zst files, where the libraries for them were there when the program was built. */
#ifndef MR_DATA_UNPACK_H
#define MR_DATA_UNPACK_H

#include <stddef.h>
#include <stdint.h>

typedef struct mr_unpacker mr_unpacker;

/* *u NULL: the file is of neither kind, and fd is still the caller's; else it belongs to *u (also on failure, then the
 * result is negative). `path` is for messages, and the caller's. MR_ENODEV: built without the library. */
int mr_unpacker_open(mr_unpacker **u, int fd, const char *path);
void mr_unpacker_close(mr_unpacker *u); /* NULL is fine */

/* Up to `room` bytes; *size 0: the end. MR_EFILE: damaged or cut short. */
int mr_unpacker_read(mr_unpacker *u, void *to, size_t room, size_t *size);
/* Goes on at another place of the unpacked bytes. */
int mr_unpacker_seek(mr_unpacker *u, uint64_t place);

#endif
