/* SPDX-License-Identifier: GPL-3.0-or-later
 * Where text comes from: files (plain or gzipped, .jsonl by their name), folders of them, standard input, stories.
 * A source is a stream of pieces and can be read again from its start. */
#ifndef MR_DATA_SOURCE_H
#define MR_DATA_SOURCE_H

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
};

/* A file, a folder (all files in it that are not hidden, in the order of their names, and its folders'), or "-".
 * A name that ends in .jsonl or .jsonl.gz holds one JSON object a line with the text in the field "text".
 * Standard input is kept in a temporary file. */
int mr_source_open(mr_source **s, const char *input);
/* `count` stories of a seed. */
int mr_source_open_stories(mr_source **s, uint64_t count, uint64_t seed);
void mr_source_close(mr_source *s); /* NULL is fine */

/* What to call it in messages: the file that is being read, or the input. */
const char *mr_source_name(const mr_source *s);

/* 1: *piece is the next one; 0: there is none. MR_EFILE names the file, and the line of a JSON error. */
int mr_source_next(mr_source *s, struct mr_piece *piece);
/* From the start again. */
int mr_source_rewind(mr_source *s);

#endif
