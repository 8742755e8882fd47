/* SPDX-License-Identifier: GPL-3.0-or-later
 * A text that is being continued: its bytes, its stop text, printing it. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/progress.h"
#include "cli/generate.h"

int mr_answer_begin(struct mr_answer *a, const struct mr_generate *r, const struct mr_str *prompt)
{
    a->began = mr_now();
    a->prompt = prompt->size;
    if (r->common.json && !(a->ids = json_array()))
        return mr_fail(MR_ENOMEM, "out of memory");
    return mr_str_append(&a->text, prompt->text, prompt->size);
}

void mr_answer_free(struct mr_answer *a)
{
    json_decref(a->ids);
    a->ids = NULL;
    mr_str_free(&a->text);
}

/* Bytes at the end of the text that may be the beginning of the stop text. */
static size_t held_back(const struct mr_answer *a, const char *stop)
{
    size_t n = stop ? strlen(stop) : 0, have = a->text.size - a->prompt;
    for (size_t held = n ? n - 1 : 0; held > 0; held--)
        if (held <= have && memcmp(a->text.text + a->text.size - held, stop, held) == 0)
            return held;
    return 0;
}

static void print_to(struct mr_answer *a, size_t to)
{
    if (to <= a->printed)
        return;
    fwrite(a->text.text + a->printed, 1, to - a->printed, stdout);
    fflush(stdout);
    a->printed = to;
}

void mr_answer_stream(struct mr_answer *a, const struct mr_generate *r)
{
    if (!r->common.json)
        print_to(a, a->text.size - held_back(a, r->stop));
}

/* Appends the token's text; 1 when the stop text is complete (and then cut off). */
static int append(struct mr_answer *a, const char *stop, const char *bytes, size_t size)
{
    size_t n = stop ? strlen(stop) : 0;
    size_t from = a->text.size - a->prompt > n ? a->text.size - n : a->prompt;
    MR_TRY(mr_str_append(&a->text, bytes, size));
    char *at = n ? memmem(a->text.text + from, a->text.size - from, stop, n) : NULL;
    if (!at)
        return 0;
    a->text.size = (size_t)(at - a->text.text);
    return 1;
}

int mr_answer_take(struct mr_answer *a, const struct mr_generate *r, mr_lm *lm, int32_t id, int more)
{
    const char *bytes;
    size_t size;
    int stopped = 0;
    if (a->count == 0)
        a->first_token_ms = 1e3 * (mr_now() - a->began);
    if (more) {
        a->count++;
        if (a->ids)
            MR_TRY(mr_json_append(a->ids, json_integer(id)));
        MR_TRY(mr_lm_token_text(lm, id, &bytes, &size));
        MR_TRY(stopped = append(a, r->stop, bytes, size));
    }
    a->ended = !more || stopped || a->count >= r->max_tokens;
    a->total_s = mr_now() - a->began;
    return a->ended;
}

int mr_answer_finish(struct mr_answer *a, const struct mr_generate *r)
{
    if (r->common.json) {
        MR_TRY(mr_print_json(json_pack("{so sO sf sf}", "text",
                                       mr_json_repaired(a->text.text ? a->text.text : "", a->text.size), "tokens",
                                       a->ids, "first_token_ms", a->first_token_ms, "total_s", a->total_s)));
    } else {
        print_to(a, a->text.size);
        putchar('\n');
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return mr_fail(MR_EFILE, "cannot write the text to standard output");
    return 0;
}
