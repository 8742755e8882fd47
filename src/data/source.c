/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/source.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "data/stories.h"
#include "text/tokenizer.h"

enum { CHUNK = 1 << 17, MARK = sizeof MR_END_OF_TEXT - 1, LONGEST_MARK = MARK + 2, DEEPEST_FOLDER = 64 };

struct mr_source {
    char *input;
    char **paths;
    int path_count;
    int spool; /* a file descriptor with standard input's bytes, or -1 */

    /* the file being read */
    int current; /* index into paths; the next one is opened when file is NULL */
    gzFile file;
    bool lines;      /* .jsonl */
    bool end;        /* of the file */
    bool line_start; /* the byte before buffer[at] ended a line, or there is none */
    bool opened;     /* a file is under way, whose end is to be told */
    char *buffer;    /* CHUNK bytes, of which at … size are not told yet */
    size_t at, size;
    uint64_t line;     /* of .jsonl, from 1 */
    struct mr_str row; /* a line of .jsonl, or a story */
    json_t *record;
    bool record_end;

    mr_stories *stories;
    uint64_t story, story_count;
    bool mark; /* the story's last line is to be told */
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
    FILE *file = tmpfile();
    if (!file)
        return mr_fail(MR_EFILE, "no temporary file for standard input: %s", strerror(errno));
    s->spool = dup(fileno(file));
    fclose(file);
    if (s->spool < 0)
        return mr_fail(MR_EFILE, "no temporary file for standard input: %s", strerror(errno));
    for (;;) {
        ssize_t n = read(STDIN_FILENO, s->buffer, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mr_fail(MR_EFILE, "standard input cannot be read: %s", strerror(errno));
        if (n == 0)
            return 0;
        for (ssize_t done = 0, m; done < n; done += m) {
            m = write(s->spool, s->buffer + done, (size_t)(n - done));
            if (m < 0 && errno == EINTR)
                m = 0;
            else if (m < 0)
                return mr_fail(MR_EFILE, "standard input cannot be kept in a temporary file: %s", strerror(errno));
        }
    }
}

static int new_source(mr_source **out, const char *input)
{
    mr_source *s = mr_alloc(1, sizeof *s);
    *out = s;
    if (!s)
        return MR_ENOMEM;
    s->spool = -1;
    s->input = mr_strdup(input);
    s->buffer = mr_alloc(CHUNK, 1);
    return s->input && s->buffer ? 0 : MR_ENOMEM;
}

int mr_source_open(mr_source **out, const char *input)
{
    struct stat st;
    mr_source *s;
    int err = new_source(&s, input);
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
    int err = new_source(&s, "the stories");
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
    if (s->file)
        gzclose_r(s->file);
    s->file = NULL;
    json_decref(s->record);
    s->record = NULL;
    s->at = s->size = 0;
    s->end = s->opened = s->record_end = false;
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
    mr_str_free(&s->row);
    free(s->buffer);
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
    return 0;
}

/* ---- reading ------------------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
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
    s->file = gzdopen(fd, "rb"); /* plain files pass through it */
    if (!s->file) {
        close(fd);
        return mr_fail(MR_ENOMEM, "out of memory while %s is opened", path);
    }
    gzbuffer(s->file, CHUNK);
    s->lines = ends_with(path, ".jsonl") || ends_with(path, ".jsonl.gz");
    s->line_start = s->opened = true;
    s->line = 0;
    return 0;
}

/* Fills the buffer behind what is not told yet. */
static int fill(mr_source *s)
{
    memmove(s->buffer, s->buffer + s->at, s->size - s->at);
    s->size -= s->at;
    s->at = 0;
    int n = gzread(s->file, s->buffer + s->size, (unsigned)(CHUNK - s->size));
    int code = Z_OK;
    const char *message = n < (int)(CHUNK - s->size) ? gzerror(s->file, &code) : "";
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        return mr_fail(MR_EFILE, "%s cannot be read: %s", s->paths[s->current],
                       code == Z_ERRNO       ? strerror(errno)
                       : code == Z_BUF_ERROR ? "the gzip file is cut short"
                                             : message);
    s->end = n == 0;
    s->size += (size_t)n;
    return 0;
}

/* The length of the line "<|endoftext|>" at this place of the buffer, 0 when there is none; *cut: the buffer ends
 * before that can be said. */
static size_t mark_at(const mr_source *s, size_t place, bool *cut)
{
    size_t left = s->size - place - MARK;
    const char *after = s->buffer + place + MARK;
    *cut = false;
    if (place == s->at ? !s->line_start : s->buffer[place - 1] != '\n')
        return 0;
    if (!left || (left == 1 && *after == '\r')) {
        *cut = !s->end;
        return s->end ? MARK + left : 0;
    }
    return *after == '\n' ? MARK + 1 : *after == '\r' && after[1] == '\n' ? MARK + 2 : 0;
}

static void tell(mr_source *s, struct mr_piece *piece, enum mr_piece_kind kind, size_t size)
{
    *piece = (struct mr_piece){kind, s->buffer + s->at, size};
    s->at += size;
    if (size)
        s->line_start = s->buffer[s->at - 1] == '\n';
}

/* The next piece of a text file: 1, or 0 at its end. */
static int next_text(mr_source *s, struct mr_piece *piece)
{
    while (!s->end && s->size - s->at < CHUNK / 2)
        MR_TRY(fill(s));
    if (s->at == s->size)
        return 0;
    size_t from = s->at, text = s->size - s->at; /* how much is text for certain */
    const char *found;
    while ((found = memmem(s->buffer + from, s->size - from, MR_END_OF_TEXT, MARK))) {
        size_t place = (size_t)(found - s->buffer);
        bool cut;
        size_t size = mark_at(s, place, &cut);
        if (size && place == s->at) {
            tell(s, piece, MR_PIECE_MARK, size);
            return 1;
        }
        if (size || cut) {
            text = place - s->at;
            break;
        }
        from = place + 1;
    }
    if (!found && !s->end)
        text -= LONGEST_MARK; /* the buffer is at least half full */
    tell(s, piece, MR_PIECE_TEXT, text);
    return 1;
}

/* The next line of a .jsonl file without its end into row: 1, or 0 at the end. */
static int next_line(mr_source *s)
{
    s->row.size = 0;
    for (bool any = false;; any = true) {
        if (s->at == s->size && !s->end)
            MR_TRY(fill(s));
        if (s->at == s->size && s->end)
            return any && s->row.size;
        const char *start = s->buffer + s->at, *end = memchr(start, '\n', s->size - s->at);
        size_t size = end ? (size_t)(end - start) : s->size - s->at;
        MR_TRY(mr_str_append(&s->row, start, size));
        s->at += size + (end != NULL);
        if (end)
            return 1;
    }
}

static int next_record(mr_source *s, struct mr_piece *piece)
{
    if (s->record_end) {
        s->record_end = false;
        *piece = (struct mr_piece){MR_PIECE_END, "", 0};
        return 1;
    }
    json_decref(s->record);
    s->record = NULL;
    do {
        int more = next_line(s);
        if (more <= 0)
            return more;
        s->line++;
    } while (s->row.size == strspn(s->row.text ? s->row.text : "", " \t\r"));
    json_error_t error;
    s->record = json_loadb(s->row.text, s->row.size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!s->record)
        return mr_fail(MR_EFILE, "%s, line %llu: invalid JSON at byte %d: %s", s->paths[s->current],
                       (unsigned long long)s->line, error.position, error.text);
    const json_t *text = json_object_get(s->record, "text");
    if (!json_is_string(text))
        return mr_fail(MR_EFILE, "%s, line %llu: %s", s->paths[s->current], (unsigned long long)s->line,
                       text ? "the field \"text\" is not a string" : "there is no field \"text\"");
    *piece = (struct mr_piece){MR_PIECE_TEXT, json_string_value(text), json_string_length(text)};
    s->record_end = true;
    return 1;
}

static int next_story(mr_source *s, struct mr_piece *piece)
{
    static const char mark[] = MR_END_OF_TEXT "\n";
    if (s->mark) {
        s->mark = false;
        *piece = (struct mr_piece){MR_PIECE_MARK, mark, sizeof mark - 1};
        return 1;
    }
    if (s->story == s->story_count)
        return 0;
    s->row.size = 0;
    MR_TRY(mr_stories_tell(s->stories, s->story++, &s->row));
    s->mark = true;
    *piece = (struct mr_piece){MR_PIECE_TEXT, s->row.text, s->row.size - (sizeof mark - 1)};
    return 1;
}

int mr_source_next(mr_source *s, struct mr_piece *piece)
{
    if (s->stories)
        return next_story(s, piece);
    while (s->current < s->path_count) {
        if (!s->opened)
            MR_TRY(open_file(s));
        int more = s->lines ? next_record(s, piece) : next_text(s, piece);
        if (more)
            return more;
        close_file(s);
        s->current++;
        *piece = (struct mr_piece){MR_PIECE_END, "", 0};
        return 1;
    }
    return 0;
}
