/* SPDX-License-Identifier: GPL-3.0-or-later
 * The records of a .jsonl file: one JSON object a line, with the text in one or several of its members. A record is
 * checked to its end before any of its text is handed out, and may be larger than memory: then it is read again. */
#ifndef MR_DATA_RECORDS_H
#define MR_DATA_RECORDS_H

#include "base/json_scan.h"
#include "data/source.h"
#include "data/stream.h"

struct mr_records {
    const struct mr_source_options *options;
    struct mr_stream *stream;
    struct mr_source_counts *counts;
    uint64_t line;        /* from 1 */
    uint64_t start, size; /* the record's bytes */
    struct mr_str row;    /* the record, where it is small */
    struct mr_str text;
    struct mr_json_scan scan[MR_SOURCE_FIELDS];
    int field;   /* the next to be handed out; -1: a record is to be read */
    bool within; /* some of that field was handed out */
    int told;    /* bad lines that were told of */
    struct mr_json_scan again;
};

void mr_records_begin(struct mr_records *r, struct mr_stream *stream);
void mr_records_free(struct mr_records *r);
/* 1: *piece is the next one; 0: the file's end. */
int mr_records_next(struct mr_records *r, struct mr_piece *piece);

#endif
