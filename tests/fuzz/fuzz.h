/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the fuzzers share. A fuzzer is one file that defines fuzz_one; it is built twice: with libFuzzer
 * (-Dfuzz=true), which invents inputs, and otherwise as a test that reads the files of seeds/NAME again.
 *
 * A seed whose name begins with "ok" must be accepted; all others only have to be survived. */
#ifndef MR_FUZZ_H
#define MR_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "io/tensor_file.h"

/* Supplied by the fuzzer: hands the bytes to a reader and uses all that it gives. 0: they were accepted; else
 * the reader's error, whose text must be set. */
int fuzz_one(const uint8_t *data, size_t size);

/* What must hold for any input; ends the program if it does not. */
#define fuzz_must(condition) ((condition) ? (void)0 : fuzz_broken(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_broken(const char *condition, const char *file, int line);

/* A folder in memory (where the system has one), for readers of files; fuzz_path is the path of a file in it
 * (four of them may be in use at a time), fuzz_file makes the file and gives its path, fuzz_remove takes it
 * away. */
const char *fuzz_folder(void);
const char *fuzz_path(const char *name);
const char *fuzz_file(const char *name, const void *bytes, size_t size);
void fuzz_remove(const char *name);

/* Inputs that stand for several files: parts with the line "====" between them. Fills `most` of them, the
 * last with all that is left; those that are not there are empty and have no bytes (NULL). Returns how many
 * there are. */
struct fuzz_part {
    const uint8_t *bytes;
    size_t size;
};

size_t fuzz_parts(const uint8_t *data, size_t size, struct fuzz_part *parts, size_t most);
/* A part as fuzz_file; one that is not there is removed. */
const char *fuzz_part_file(const char *name, const struct fuzz_part *part);

/* The bytes with a NUL behind them; the caller frees it. */
char *fuzz_text(const uint8_t *bytes, size_t size);

/* Reads the tensors of an open file: their start, middle and end as bytes, as floats and as integers. Closes
 * it. */
int fuzz_read_tensors(mr_tensor_file *file);

#endif
