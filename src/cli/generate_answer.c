/* SPDX-License-Identifier: GPL-3.0-or-later
 * A text that is being continued: its bytes, its stop texts, printing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "cli/generate.h"

int mr_answer_begin(struct mr_answer *a, const struct mr_generate *r, const struct mr_str *prompt)
{
    a->began = mr_now();
    a->prompt = prompt->size;
    if (r->common.json && !(a->ids = json_array()))
        return mr_fail(MR_ENOMEM, "out of memory");
    if (r->logprobs >= 0) {
        a->likely = mr_alloc((size_t)r->logprobs + 1, sizeof *a->likely);
        a->logprobs = json_array();
        if (!a->likely || !a->logprobs)
            return mr_fail(MR_ENOMEM, "out of memory");
    }
    return mr_str_append(&a->text, prompt->text, prompt->size);
}

void mr_answer_free(struct mr_answer *a)
{
    json_decref(a->ids);
    json_decref(a->logprobs);
    a->ids = a->logprobs = NULL;
    free(a->likely);
    a->likely = NULL;
    mr_echo_free(&a->echo);
    mr_str_free(&a->text);
}

/* Bytes at the end of the text that may be the beginning of the stop text. */
static size_t held_for(const struct mr_answer *a, const char *stop)
{
    size_t n = strlen(stop), have = a->text.size - a->prompt;
    for (size_t held = n ? n - 1 : 0; held > 0; held--)
        if (held <= have && memcmp(a->text.text + a->text.size - held, stop, held) == 0)
            return held;
    return 0;
}

/* How many of the bytes end with a whole character, or with bytes that are none anyway. */
static size_t whole_characters(const char *text, size_t size)
{
    uint32_t c;
    for (size_t back = 1; back <= 3 && back <= size; back++)
        if (mr_utf8_decode(text + size - back, back, &c) == MR_UTF8_CUT)
            return size - back;
    return size;
}

/* Bytes of the text that nothing to come can change. */
static size_t certain(const struct mr_answer *a, const struct mr_generate *r)
{
    size_t held = 0;
    for (int i = 0; i < r->stops.count; i++) {
        size_t n = held_for(a, r->stops.word[i]);
        held = n > held ? n : held;
    }
    return whole_characters(a->text.text, a->text.size - held);
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
        print_to(a, certain(a, r));
}

/* Appends the token's text; 1 when a stop text is complete (and then cut off, the one that begins first). */
static int append(struct mr_answer *a, const struct mr_words *stops, const char *bytes, size_t size)
{
    size_t before = a->text.size, end = SIZE_MAX;
    MR_TRY(mr_str_append(&a->text, bytes, size));
    for (int i = 0; i < stops->count; i++) {
        size_t n = strlen(stops->word[i]), from = before - a->prompt > n ? before - n : a->prompt;
        char *at = n ? memmem(a->text.text + from, a->text.size - from, stops->word[i], n) : NULL;
        if (at && (size_t)(at - a->text.text) < end)
            end = (size_t)(at - a->text.text);
    }
    if (end == SIZE_MAX)
        return 0;
    a->text.size = end;
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
        if (a->likely)
            MR_TRY(mr_json_append(a->logprobs, mr_logprobs_json(r, lm, a->likely)));
        MR_TRY(mr_lm_token_text(lm, id, &bytes, &size));
        MR_TRY(stopped = append(a, &r->stops, bytes, size));
    }
    a->ended = !more || stopped || a->count >= r->max_tokens;
    a->total_s = mr_now() - a->began;
    return a->ended;
}

int mr_answer_finish(struct mr_answer *a, const struct mr_generate *r)
{
    if (r->common.json) {
        MR_TRY(mr_print_json(json_pack(
            "{so sO sf sf sO* sO* sO*}", "text", mr_json_repaired(a->text.text ? a->text.text : "", a->text.size),
            "tokens", a->ids, "first_token_ms", a->first_token_ms, "total_s", a->total_s, "logprobs", a->logprobs,
            "prompt_tokens", a->echo.tokens, "prompt_logprobs", a->echo.logprobs)));
    } else {
        print_to(a, a->text.size);
        putchar('\n');
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return mr_fail(MR_EFILE, "cannot write the text to standard output");
    return 0;
}
