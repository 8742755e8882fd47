/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/file_kind.h"
#include "base/utf8.h"
#include "data/records.h"
#include "data/stories.h"
#include "text/tokenizer.h"

enum { MARK = sizeof MR_END_OF_TEXT - 1, LONGEST_MARK = MARK + 2, DEEPEST_FOLDER = 64 };

struct mr_source {
    char *input;
    char **paths;
    int path_count;
    int spool; /* a file descriptor with standard input's bytes, or -1 */
    struct mr_source_options options;
    struct mr_source_counts counts;

    /* the file being read */
    int current; /* index into paths */
    bool opened; /* a file is under way, whose end is to be told */
    struct mr_stream stream;
    bool lines;      /* .jsonl */
    bool line_start; /* the byte before the next one ended a line, or there is none */
    struct mr_records records;

    mr_stories *stories;
    uint64_t story, story_count;
    struct mr_str row; /* a story */
    bool mark;         /* its last line is to be told */
};

/* ---- what there is to read ----------------------------------------------------------------------------- */

static int add_path(mr_source *s, const char *path)
{
    char **grown = mr_realloc(s->paths, (size_t)s->path_count + 1, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    s->paths = grown;
    s->paths[s->path_count] = mr_strdup(path);
    return s->paths[s->path_count++] ? 0 : MR_ENOMEM;
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int add_folder(mr_source *s, const char *folder, int depth)
{
    struct dirent **entries;
    int err = 0, count = scandir(folder, &entries, visible, by_name);
    if (count < 0)
        return mr_fail(MR_EFILE, "the folder %s cannot be read: %s", folder, strerror(errno));
    if (depth == DEEPEST_FOLDER)
        err = mr_fail(MR_EFILE, "%s: folders within folders, %d deep: does a link lead back?", folder, depth);
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
        if (err || stat(path, &st))
            continue; /* a link to nowhere */
        if (S_ISDIR(st.st_mode))
            err = add_folder(s, path, depth + 1);
        else if (S_ISREG(st.st_mode))
            err = add_path(s, path);
    }
    free(entries);
    return err;
}

/* Keeps standard input in a file without a name, so that it can be read twice. */
static int spool_input(mr_source *s)
{
    char buffer[1 << 16];
    FILE *file = tmpfile();
    if (!file)
        return mr_fail(MR_EFILE, "no temporary file for standard input: %s", strerror(errno));
    s->spool = dup(fileno(file));
    fclose(file);
    if (s->spool < 0)
        return mr_fail(MR_EFILE, "no temporary file for standard input: %s", strerror(errno));
    for (;;) {
        ssize_t n = read(STDIN_FILENO, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mr_fail(MR_EFILE, "standard input cannot be read: %s", strerror(errno));
        if (n == 0)
            return 0;
        for (ssize_t done = 0, m; done < n; done += m) {
            m = write(s->spool, buffer + done, (size_t)(n - done));
            if (m < 0 && errno == EINTR)
                m = 0;
            else if (m < 0)
                return mr_fail(MR_EFILE, "standard input cannot be kept in a temporary file: %s", strerror(errno));
        }
    }
}

static int new_source(mr_source **out, const char *input, const struct mr_source_options *options)
{
    mr_source *s = mr_alloc(1, sizeof *s);
    *out = s;
    if (!s)
        return MR_ENOMEM;
    s->spool = -1;
    s->options = options ? *options : (struct mr_source_options){0};
    if (!s->options.field_count)
        s->options.fields[s->options.field_count++] = "text";
    if (!s->options.longest_record)
        s->options.longest_record = (uint64_t)1 << 30;
    s->records.options = &s->options;
    s->records.counts = &s->counts;
    s->input = mr_strdup(input);
    return s->input ? 0 : MR_ENOMEM;
}

int mr_source_open(mr_source **out, const char *input, const struct mr_source_options *options)
{
    struct stat st;
    mr_source *s;
    int err = new_source(&s, input, options);
    *out = NULL;
    if (!err && strcmp(input, "-") == 0) {
        err = spool_input(s);
        if (!err)
            err = add_path(s, "standard input");
    } else if (!err) {
        if (stat(input, &st))
            err = mr_fail(MR_EFILE, "%s cannot be read: %s", input, strerror(errno));
        else
            err = S_ISDIR(st.st_mode) ? add_folder(s, input, 0) : add_path(s, input);
    }
    if (!err && !s->path_count)
        err = mr_fail(MR_EFILE, "the folder %s holds no files", input);
    if (err) {
        mr_source_close(s);
        return err;
    }
    *out = s;
    return 0;
}

int mr_source_open_stories(mr_source **out, uint64_t count, uint64_t seed)
{
    mr_source *s;
    int err = new_source(&s, "the stories", NULL);
    *out = NULL;
    if (!err)
        err = mr_stories_open(&s->stories, seed);
    if (err) {
        mr_source_close(s);
        return err;
    }
    s->story_count = count;
    *out = s;
    return 0;
}

static void close_file(mr_source *s)
{
    mr_stream_close(&s->stream);
    s->opened = false;
}

void mr_source_close(mr_source *s)
{
    if (!s)
        return;
    close_file(s);
    for (int i = 0; i < s->path_count; i++)
        free(s->paths[i]);
    free(s->paths);
    if (s->spool >= 0)
        close(s->spool);
    mr_stories_close(s->stories);
    mr_records_free(&s->records);
    mr_str_free(&s->row);
    free(s->input);
    free(s);
}

const char *mr_source_name(const mr_source *s)
{
    return s->current < s->path_count ? s->paths[s->current] : s->input;
}

int mr_source_rewind(mr_source *s)
{
    close_file(s);
    s->current = 0;
    s->story = 0;
    s->mark = false;
    s->counts = (struct mr_source_counts){0};
    return 0;
}

struct mr_source_counts mr_source_counts(const mr_source *s)
{
    return s->counts;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

/* Whether a name ends so, but for the ending of a packed file. */
static bool ends_with(const char *text, const char *end)
{
    static const char *const packed[] = {".gz", ".xz", ".zst"};
    size_t n = strlen(text), m = strlen(end);
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++) {
        size_t k = strlen(packed[i]);
        if (n > k && !strcmp(text + n - k, packed[i])) {
            n -= k;
            break;
        }
    }
    return n >= m && strncmp(text + n - m, end, m) == 0;
}

static bool is_page_name(const char *path)
{
    static const char *const endings[] = {".html", ".htm", ".xhtml"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (ends_with(path, endings[i]))
            return true;
    return false;
}

/* Refuses what is no text, and pages of the web that do not say so by their name. */
static int check_kind(mr_source *s)
{
    const struct mr_stream *in = &s->stream;
    const char *path = in->path, *head = in->buffer, *kind = mr_file_kind(head, in->size);
    if (!kind)
        kind = mr_encoding_kind(head, in->size);
    if (kind)
        return mr_fail(MR_EFILE, "%s cannot be read as text: it is %s", path, kind);
    kind = mr_text_kind(head, in->size);
    if (!kind || (!s->lines && is_page_name(path)))
        return 0;
    if (s->lines || s->spool < 0)
        return mr_fail(MR_EFILE, "%s is %s%s", path, kind, s->lines ? "" : " To train on it, name it .html");
    mr_log(MR_LOG_WARNING, "%s is an HTML or XML page; it is read as text", path);
    return 0;
}

static int begin_file(mr_source *s)
{
    struct mr_stream *in = &s->stream;
    MR_TRY(mr_stream_fill(in));
    if (s->options.exact)
        return 0;
    MR_TRY(check_kind(s));
    in->at = mr_utf8_mark(in->buffer, in->size);
    return 0;
}

static int open_file(mr_source *s)
{
    const char *path = s->paths[s->current];
    int fd = s->spool >= 0 ? dup(s->spool) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || (s->spool >= 0 && lseek(fd, 0, SEEK_SET) < 0)) {
        if (fd >= 0)
            close(fd);
        return mr_fail(MR_EFILE, "%s cannot be read: %s", path, strerror(errno));
    }
    MR_TRY(mr_stream_open(&s->stream, fd, path));
    s->lines = ends_with(path, ".jsonl") || ends_with(path, ".ndjson");
    s->line_start = s->opened = true;
    mr_records_begin(&s->records, &s->stream);
    return begin_file(s);
}

/* The length of the line "<|endoftext|>" at this place of the buffer, 0 when there is none; *cut: the buffer ends
 * before that can be said. */
static size_t mark_at(const mr_source *s, size_t place, bool *cut)
{
    const struct mr_stream *in = &s->stream;
    size_t left = in->size - place - MARK;
    const char *after = in->buffer + place + MARK;
    *cut = false;
    if (place == in->at ? !s->line_start : in->buffer[place - 1] != '\n')
        return 0;
    if (!left || (left == 1 && *after == '\r')) {
        *cut = !in->end;
        return in->end ? MARK + left : 0;
    }
    return *after == '\n' ? MARK + 1 : *after == '\r' && after[1] == '\n' ? MARK + 2 : 0;
}

static void tell(mr_source *s, struct mr_piece *piece, enum mr_piece_kind kind, size_t size)
{
    struct mr_stream *in = &s->stream;
    *piece = (struct mr_piece){kind, in->buffer + in->at, size, false};
    in->at += size;
    if (size)
        s->line_start = in->buffer[in->at - 1] == '\n';
}

/* The next piece of a text file: 1, or 0 at its end. */
static int next_text(mr_source *s, struct mr_piece *piece)
{
    struct mr_stream *in = &s->stream;
    while (!in->end && in->size - in->at < MR_STREAM_ROOM / 2)
        MR_TRY(mr_stream_fill(in));
    if (in->at == in->size)
        return 0;
    size_t from = in->at, text = in->size - in->at; /* how much is text for certain */
    const char *found;
    while ((found = memmem(in->buffer + from, in->size - from, MR_END_OF_TEXT, MARK))) {
        size_t place = (size_t)(found - in->buffer);
        bool cut;
        size_t size = mark_at(s, place, &cut);
        if (size && place == in->at) {
            tell(s, piece, MR_PIECE_MARK, size);
            return 1;
        }
        if (size || cut) {
            text = place - in->at;
            break;
        }
        from = place + 1;
    }
    if (!found && !in->end)
        text -= LONGEST_MARK; /* the buffer is at least half full */
    tell(s, piece, MR_PIECE_TEXT, text);
    return 1;
}

static int next_story(mr_source *s, struct mr_piece *piece)
{
    static const char mark[] = MR_END_OF_TEXT "\n";
    if (s->mark) {
        s->mark = false;
        *piece = (struct mr_piece){MR_PIECE_MARK, mark, sizeof mark - 1, false};
        return 1;
    }
    if (s->story == s->story_count)
        return 0;
    s->row.size = 0;
    MR_TRY(mr_stories_tell(s->stories, s->story++, &s->row));
    s->mark = true;
    *piece = (struct mr_piece){MR_PIECE_TEXT, s->row.text, s->row.size - (sizeof mark - 1), false};
    return 1;
}

int mr_source_next(mr_source *s, struct mr_piece *piece)
{
    if (s->stories)
        return next_story(s, piece);
    while (s->current < s->path_count) {
        if (!s->opened)
            MR_TRY(open_file(s));
        int more = s->lines ? mr_records_next(&s->records, piece) : next_text(s, piece);
        if (more)
            return more;
        close_file(s);
        s->current++;
        *piece = (struct mr_piece){MR_PIECE_END, "", 0, false};
        return 1;
    }
    return 0;
}
