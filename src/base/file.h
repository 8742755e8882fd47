/* SPDX-License-Identifier: GPL-3.0-or-later
 * Files: read by place, mapped, read whole; and written so that a reader sees the old content or the new,
 * never a part of it. */
#ifndef MR_BASE_FILE_H
#define MR_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* A regular file open for reading. Reads may come from several threads at once. */
typedef struct mr_reader mr_reader;

int mr_reader_open(mr_reader **in, const char *path);
void mr_reader_close(mr_reader *in); /* NULL is fine */
uint64_t mr_reader_size(const mr_reader *in);
/* Exactly `size` bytes from `offset` on; the file's end before that is an error. */
int mr_reader_read(const mr_reader *in, uint64_t offset, void *to, size_t size);

/* A regular file mapped read-only, with its real size; an empty file has data NULL. */
struct mr_map {
    const uint8_t *data;
    size_t size;
};

int mr_map_open(struct mr_map *map, const char *path);
void mr_map_close(struct mr_map *map); /* {0} is fine */

/* Appends the whole file to text; a file of more than `limit` bytes is refused before anything is read. */
int mr_file_read(const char *path, size_t limit, struct mr_str *text);
/* Writes the whole file as below. */
int mr_file_write(const char *path, const void *data, size_t size);

bool mr_is_file(const char *path);
bool mr_is_folder(const char *path);
/* Makes the folder, and those above it, where they are missing; mode as for mkdir, 0777 usually. */
int mr_make_folder(const char *path, unsigned mode);

/* A file being written. The bytes go to PATH.tmp in the same folder (locked: a second writer of the same path
 * takes PATH.tmp1, and what a killed process left is used again); commit makes them durable and gives them
 * the name in one step. Until then, and after any failure, the file that had the name stays whole. */
typedef struct mr_writer mr_writer;

int mr_writer_open(mr_writer **out, const char *path);
int mr_writer_write(mr_writer *out, const void *data, size_t size);
/* Overwrites bytes that were written before. */
int mr_writer_patch(mr_writer *out, uint64_t offset, const void *data, size_t size);
uint64_t mr_writer_position(const mr_writer *out);
/* Makes all bytes so far durable, so that reading them back asks the disk, where the system can be told so. */
int mr_writer_sync(mr_writer *out);
/* Bytes that were written before. */
int mr_writer_read_back(mr_writer *out, uint64_t offset, void *to, size_t size);
/* Ends the writing, successful or not, and frees out. */
int mr_writer_commit(mr_writer *out);
void mr_writer_discard(mr_writer *out); /* NULL is fine */

#endif
