/* SPDX-License-Identifier: GPL-3.0-or-later
 * Where text comes from: files (plain or packed by gzip, xz or zstd, .jsonl by their name), folders of them, standard
 * input, stories. A source is a stream of pieces and can be read again from its start. */
#ifndef MR_DATA_SOURCE_H
#define MR_DATA_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct mr_source mr_source;

enum mr_piece_kind {
    MR_PIECE_TEXT,
    MR_PIECE_MARK, /* a line "<|endoftext|>" with its end: a document ends before it */
    MR_PIECE_END,  /* a document ends here, with a file or a record; no text */
};

struct mr_piece {
    enum mr_piece_kind kind;
    const char *text; /* valid until the next call */
    size_t size;
    bool prompt; /* of a record's field that is not its last */
};

enum { MR_SOURCE_FIELDS = 8 };

struct mr_source_options {
    bool exact; /* every byte is text: a byte order mark stays, and no file is refused for what it holds */
    /* Of .jsonl: the members whose texts are a record's text, one behind the other; none given: "text". */
    const char *fields[MR_SOURCE_FIELDS];
    int field_count;
    bool skip_bad_lines;     /* lines without such a record are left out and counted, not errors */
    uint64_t longest_record; /* in bytes; 0: 1 GiB */
};

struct mr_source_counts {
    uint64_t skipped_lines;
    uint64_t replaced; /* halves of surrogate pairs and invalid bytes in JSON strings, which became U+FFFD */
};

/* A file, a folder (all files in it that are not hidden, in the order of their names, and its folders'), or "-".
 * A name that ends in .jsonl, .ndjson or these with .gz, .xz or .zst holds one JSON object a line with its text in
 * members of it. Standard input is kept in a temporary file. options may be NULL. */
int mr_source_open(mr_source **s, const char *input, const struct mr_source_options *options);
/* `count` stories of a seed. */
int mr_source_open_stories(mr_source **s, uint64_t count, uint64_t seed);
void mr_source_close(mr_source *s); /* NULL is fine */

/* What to call it in messages: the file that is being read, or the input. */
const char *mr_source_name(const mr_source *s);

/* 1: *piece is the next one; 0: there is none. MR_EFILE names the file, and the line of a JSON error. */
int mr_source_next(mr_source *s, struct mr_piece *piece);
/* From the start again. */
int mr_source_rewind(mr_source *s);
/* What was met since the start. */
struct mr_source_counts mr_source_counts(const mr_source *s);

#endif
