/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/records.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

enum { SMALL = 1 << 20, TOLD = 3 /* bad lines that are told of one by one */ };

void mr_records_begin(struct mr_records *r, struct mr_stream *stream)
{
    r->stream = stream;
    r->line = 0;
    r->field = -1;
}

static void forget(struct mr_records *r)
{
    for (int i = 0; i < r->options->field_count; i++)
        mr_json_scan_free(&r->scan[i]);
    mr_json_scan_free(&r->again);
    r->row.size = r->text.size = 0;
    r->within = false;
}

void mr_records_free(struct mr_records *r)
{
    if (r->options)
        forget(r);
    mr_str_free(&r->row);
    mr_str_free(&r->text);
}

/* ---- reading a line ---------------------------------------------------------------------------------------------- */

/* What is wrong with the line; true: it is left out. */
static bool leave_out(struct mr_records *r, const char *what)
{
    mr_fail(MR_EFILE, "%s, line %llu: %s", r->stream->path, (unsigned long long)r->line, what);
    if (!r->options->skip_bad_lines)
        return false;
    r->counts->skipped_lines++;
    if (r->told++ < TOLD)
        mr_log(MR_LOG_WARNING, "%s: left out", mr_error_text());
    return true;
}

/* Some of the line: into the row while that is small, and through the scans. */
static int take(struct mr_records *r, const char *bytes, size_t size)
{
    r->size += size;
    if (r->size > r->options->longest_record)
        return 0;
    if (r->size <= SMALL)
        MR_TRY(mr_str_append(&r->row, bytes, size));
    else
        r->text.size = 0; /* read again, piece by piece */
    for (int i = 0; i < r->options->field_count; i++) {
        if (r->size > SMALL)
            r->scan[i].wanted = r->scan[i].hands_out = 0;
        MR_TRY(mr_json_scan(&r->scan[i], bytes, size));
    }
    return 0;
}

/* The next line: 1, or 0 at the end. */
static int read_line(struct mr_records *r)
{
    struct mr_stream *s = r->stream;
    forget(r);
    for (int i = 0; i < r->options->field_count; i++)
        r->scan[i] = (struct mr_json_scan){.key = r->options->fields[i], .text = &r->text};
    r->scan[0].wanted = r->options->field_count == 1;
    while (s->size - s->at < 3 && !s->end)
        MR_TRY(mr_stream_fill(s));
    s->at += mr_utf8_mark(s->buffer + s->at, s->size - s->at);
    r->start = s->base + s->at;
    r->size = 0;
    r->line++;
    for (bool any = false;; any = true) {
        if (s->at == s->size && !s->end)
            MR_TRY(mr_stream_fill(s));
        if (s->at == s->size && s->end)
            return any && r->size;
        const char *start = s->buffer + s->at, *end = memchr(start, '\n', s->size - s->at);
        size_t size = end ? (size_t)(end - start) : s->size - s->at;
        MR_TRY(take(r, start, size));
        s->at += size + (end != NULL);
        if (end || (!r->options->skip_bad_lines && (r->scan[0].error || r->size > r->options->longest_record)))
            return 1;
    }
}

static bool is_blank(const struct mr_records *r)
{
    return r->size <= SMALL && r->row.size == strspn(r->row.size ? r->row.text : "", " \t\r");
}

/* NULL: the line is a record with all that is wanted. */
static const char *fault(struct mr_records *r, char text[256])
{
    if (r->size > r->options->longest_record) {
        snprintf(text, 256, "the record is larger than %llu bytes (--max-record-bytes)",
                 (unsigned long long)r->options->longest_record);
        return text;
    }
    for (int i = 0; i < r->options->field_count; i++) {
        struct mr_json_scan *s = &r->scan[i];
        mr_json_scan_end(s);
        if (s->error)
            snprintf(text, 256, "invalid JSON at byte %llu: %s", (unsigned long long)s->at, s->error);
        else if (!s->is_object)
            snprintf(text, 256, "the line is no JSON object");
        else if (!s->found)
            snprintf(text, 256, "there is no field \"%.100s\"", s->key);
        else if (!s->is_text)
            snprintf(text, 256, "the field \"%.100s\" is not a string", s->key);
        else
            continue;
        return text;
    }
    return NULL;
}

/* ---- handing out ------------------------------------------------------------------------------------------------- */

/* The last member of the field's name counts, as everywhere. */
static void begin_field(struct mr_records *r)
{
    mr_json_scan_free(&r->again);
    r->text.size = 0;
    r->again = (struct mr_json_scan){.key = r->scan[r->field].key, .wanted = r->scan[r->field].found, .text = &r->text};
    r->within = true;
}

static int next_of_small(struct mr_records *r, struct mr_piece *piece)
{
    struct mr_json_scan *first = &r->scan[r->field];
    bool is_read = first->wanted && first->found == 1; /* the text is there from the first reading */
    if (!is_read) {
        begin_field(r);
        MR_TRY(mr_json_scan(&r->again, r->row.text, r->row.size));
    }
    r->counts->replaced += is_read ? first->replaced : r->again.replaced;
    r->within = false;
    r->field++;
    *piece = (struct mr_piece){MR_PIECE_TEXT, r->text.size ? r->text.text : "", r->text.size, false};
    return 1;
}

/* 1, or 0 at the end of the field. */
static int next_of_large(struct mr_records *r, struct mr_piece *piece)
{
    struct mr_stream *s = r->stream;
    if (!r->within) {
        MR_TRY(mr_stream_seek(s, r->start));
        begin_field(r);
    }
    for (r->text.size = 0; !r->text.size;) {
        uint64_t left = r->size - (s->base + s->at - r->start);
        if (!left) {
            s->at += s->at < s->size; /* the line's end */
            r->counts->replaced += r->again.replaced;
            r->within = false;
            r->field++;
            return 0;
        }
        if (s->at == s->size)
            MR_TRY(mr_stream_fill(s));
        if (s->at == s->size)
            return mr_fail(MR_EFILE, "%s became shorter while it was read", s->path);
        size_t size = s->size - s->at < left ? s->size - s->at : (size_t)left;
        MR_TRY(mr_json_scan(&r->again, s->buffer + s->at, size));
        s->at += size;
    }
    *piece = (struct mr_piece){MR_PIECE_TEXT, r->text.text, r->text.size, false};
    return 1;
}

int mr_records_next(struct mr_records *r, struct mr_piece *piece)
{
    char what[256];
    while (r->field < 0) {
        int more = read_line(r);
        if (more <= 0)
            return more;
        if (is_blank(r))
            continue;
        const char *wrong = fault(r, what);
        if (!wrong)
            r->field = 0;
        else if (!leave_out(r, wrong))
            return MR_EFILE;
    }
    while (r->field < r->options->field_count) {
        int field = r->field;
        int more = r->size <= SMALL ? next_of_small(r, piece) : next_of_large(r, piece);
        if (more) {
            piece->prompt = field < r->options->field_count - 1;
            return more;
        }
    }
    r->field = -1;
    *piece = (struct mr_piece){MR_PIECE_END, "", 0, false};
    return 1;
}
