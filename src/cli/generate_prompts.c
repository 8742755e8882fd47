/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/generate.h"

#define LARGEST_FILE ((size_t)1 << 30)

void mr_prompts_free(struct mr_prompts *prompts)
{
    for (size_t i = 0; i < prompts->count; i++)
        mr_str_free(&prompts->list[i]);
    free(prompts->list);
    *prompts = (struct mr_prompts){0};
}

static int add(struct mr_prompts *prompts, const char *text, size_t size)
{
    MR_TRY(mr_grow(&prompts->list, &prompts->capacity, prompts->count + 1, sizeof *prompts->list));
    prompts->list[prompts->count] = (struct mr_str){0};
    return mr_str_append(&prompts->list[prompts->count++], text, size);
}

/* All of standard input. Ctrl-C is heeded: poll, unlike read, is never restarted after a signal. */
static int read_input(const struct mr_generate *r, struct mr_str *text)
{
    char piece[1 << 16];
    for (;;) {
        struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
        int ready = poll(&input, 1, 200);
        if (*r->stopped)
            return mr_fail(MR_EINTERRUPTED, "stopped while reading standard input");
        if (ready <= 0)
            continue;
        ssize_t n = read(STDIN_FILENO, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mr_fail(MR_EFILE, "standard input cannot be read: %s", strerror(errno));
        if (n == 0)
            return 0;
        MR_TRY(mr_str_append(text, piece, (size_t)n));
    }
}

int mr_prompt_read(struct mr_prompts *prompts, const struct mr_generate *r)
{
    if (strcmp(r->prompt, "-") != 0)
        return add(prompts, r->prompt, strlen(r->prompt));
    MR_TRY(add(prompts, "", 0));
    return read_input(r, prompts->list);
}

static int add_record(struct mr_prompts *prompts, const char *line, size_t size)
{
    json_t *record;
    MR_TRY(mr_json_parse(&record, line, size, "the record"));
    json_t *text = json_object_get(record, "prompt");
    if (!text)
        text = json_object_get(record, "text");
    int err = json_is_string(text) ? add(prompts, json_string_value(text), json_string_length(text))
                                   : mr_fail(MR_EFILE, "there is no \"prompt\" or \"text\" with a string");
    json_decref(record);
    return err;
}

static int add_line(struct mr_prompts *prompts, bool records, const char *line, size_t size)
{
    if (size && line[size - 1] == '\r')
        size--;
    MR_TRY(records && size ? add_record(prompts, line, size) : add(prompts, line, size));
    return prompts->list[prompts->count - 1].size ? 0 : mr_fail(MR_EFILE, "the prompt is empty");
}

int mr_prompts_read(struct mr_prompts *prompts, const struct mr_generate *r)
{
    struct mr_str all = {0};
    size_t length = strlen(r->prompts);
    bool records = length > 6 && strcmp(r->prompts + length - 6, ".jsonl") == 0;
    int err;
    MR_GO(strcmp(r->prompts, "-") ? mr_file_read(r->prompts, LARGEST_FILE, &all) : read_input(r, &all));
    for (size_t at = 0, size, line = 1; at < all.size; at += size + 1, line++) {
        const char *end = memchr(all.text + at, '\n', all.size - at);
        size = end ? (size_t)(end - all.text) - at : all.size - at;
        if ((err = add_line(prompts, records, all.text + at, size)) < 0) {
            err = mr_fail_in(err, "%s, line %zu", r->prompts, line);
            goto fail;
        }
    }
    if (!prompts->count)
        err = mr_fail(MR_EFILE, "%s holds no prompt", r->prompts);
fail:
    mr_str_free(&all);
    return err;
}
