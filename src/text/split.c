/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/split.h"

#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/str.h"
#include "base/utf8.h"
#include "text/words.h"

enum { STACK_FROM = 32 << 10, STACK_TO = 1 << 20, STEPS = 10000, STEPS_PER_BYTE = 16, LONGEST_PATTERN = 1 << 16 };

struct mr_split {
    pcre2_code *code;
    bool keep_rest;
};

struct mr_split_scratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* Unicode's white space, for within [...]. PCRE2's own \s takes U+180E for a space. */
#define SPACES "\\t-\\r\\x{85}\\p{Z}"

/* Copies the pattern with \s spelled out. 1: it asks for the text's start (^, \A, \G), which a text that comes in
 * parts cannot answer. */
static int translate(const char *pattern, size_t size, struct mr_str *out)
{
    bool in_class = false;
    int asks = 0;
    for (size_t i = 0; i < size; i++) {
        char c = pattern[i], next = i + 1 < size ? pattern[i + 1] : 0;
        const char *instead = NULL;
        size_t taken = c == '\\' && next ? 2 : 1;
        if (c == '\\' && next == 's')
            instead = in_class ? SPACES : "[" SPACES "]";
        else if (c == '\\' && next == 'S' && !in_class)
            instead = "[^" SPACES "]";
        else if (c == '\\' && !in_class)
            asks |= next == 'A' || next == 'G';
        else if (c == '[' && !in_class)
            taken += next == '^';
        else if (c == '^')
            asks |= !in_class;
        if (c == '[' || c == ']')
            in_class = c == '[';
        MR_TRY(mr_str_append(out, instead ? instead : pattern + i, instead ? strlen(instead) : taken));
        i += taken - 1;
    }
    return asks;
}

int mr_split_open(mr_split **out, const char *pattern, size_t size, bool literal, bool keep_rest)
{
    uint32_t options = PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP), behind = 0;
    struct mr_str text = {0};
    mr_split *s = NULL;
    size_t place = 0;
    int code = 0, asks, err = 0;
    char what[128] = "";
    *out = NULL;
    if (!size || size > LONGEST_PATTERN)
        return mr_fail(MR_EFILE, "a pattern of %zu bytes is too long", size);
    asks = literal ? mr_str_append(&text, pattern, size) : translate(pattern, size, &text);
    if (asks < 0 || !(s = mr_alloc(1, sizeof *s))) {
        mr_str_free(&text);
        return MR_ENOMEM;
    }
    s->keep_rest = keep_rest;
    s->code = pcre2_compile((PCRE2_SPTR)text.text, text.size, options, &code, &place, NULL);
    mr_str_free(&text);
    if (!s->code) {
        pcre2_get_error_message(code, (PCRE2_UCHAR *)what, sizeof what);
        err = mr_fail(MR_EFILE, "invalid pattern \"%.*s\": %s", (int)size, pattern, what);
    } else {
        pcre2_pattern_info(s->code, PCRE2_INFO_MAXLOOKBEHIND, &behind);
        if (behind || asks)
            err = mr_fail(MR_EFILE, "pattern \"%.*s\" uses lookbehind or an anchor, which is not supported", (int)size,
                          pattern);
    }
    if (err) {
        mr_split_close(s);
        return err;
    }
    pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD); /* else it is interpreted */
    *out = s;
    return 0;
}

void mr_split_close(mr_split *s)
{
    if (!s)
        return;
    pcre2_code_free(s->code);
    free(s);
}

int mr_split_scratch_open(mr_split_scratch **out)
{
    mr_split_scratch *scratch = mr_alloc(1, sizeof *scratch);
    *out = NULL;
    if (!scratch)
        return MR_ENOMEM;
    scratch->match = pcre2_match_data_create(1, NULL);
    scratch->context = pcre2_match_context_create(NULL);
    scratch->stack = pcre2_jit_stack_create(STACK_FROM, STACK_TO, NULL);
    if (!scratch->match || !scratch->context) {
        mr_split_scratch_close(scratch);
        return mr_fail(MR_ENOMEM, "out of memory for matching");
    }
    if (scratch->stack)
        pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
    *out = scratch;
    return 0;
}

void mr_split_scratch_close(mr_split_scratch *scratch)
{
    if (!scratch)
        return;
    pcre2_match_data_free(scratch->match);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    free(scratch);
}

static int hand_out(const mr_split *s, mr_split_piece *piece, void *context, const char *from, const char *start,
                    const char *end)
{
    if (start > from && s->keep_rest)
        MR_TRY(piece(context, from, (size_t)(start - from)));
    return end > start ? piece(context, start, (size_t)(end - start)) : 0;
}

/* The pieces of valid UTF-8. A match that reaches the end when there is more is no match yet. */
static int split_valid(const mr_split *s, mr_split_scratch *scratch, const char *bytes, size_t size, bool more,
                       mr_split_piece *piece, void *context, size_t *used)
{
    size_t at = 0, limit = STEPS + STEPS_PER_BYTE * size;
    const size_t *found = pcre2_get_ovector_pointer(scratch->match);
    while (at < size) {
        pcre2_set_match_limit(scratch->context, limit < UINT32_MAX ? (uint32_t)limit : UINT32_MAX);
        bool large = size - at > MR_LONGEST_WORD, goes_on = more || large;
        size_t view = large ? at + mr_utf8_cut(bytes + at, MR_LONGEST_WORD) : size;
        uint32_t options = PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | (goes_on ? PCRE2_PARTIAL_HARD : 0);
        int code = pcre2_match(s->code, (PCRE2_SPTR)bytes, view, at, options, scratch->match, scratch->context);
        if (code == PCRE2_ERROR_PARTIAL || (code == PCRE2_ERROR_NOMATCH && goes_on)) {
            if (!large)
                break;
            MR_TRY(piece(context, bytes + at, view - at)); /* no text has words so long */
            at = view;
            continue;
        }
        if (code == PCRE2_ERROR_NOMATCH) {
            MR_TRY(hand_out(s, piece, context, bytes + at, bytes + size, bytes + size));
            at = size;
        } else if (code < 0) {
            char what[128] = "";
            pcre2_get_error_message(code, (PCRE2_UCHAR *)what, sizeof what);
            return mr_fail(MR_EFILE, "cannot match the pattern: %s", what);
        } else if (found[0] < at || found[1] <= found[0]) { /* \K in a lookahead, for one */
            return mr_fail(MR_EFILE, "the pattern matched outside the text");
        } else {
            size_t from = at, start = found[0];
            at = found[1]; /* before the piece, which may be matched with another pattern */
            MR_TRY(hand_out(s, piece, context, bytes + from, bytes + start, bytes + at));
        }
    }
    *used = at;
    return 0;
}

int mr_split_all(const mr_split *s, mr_split_scratch *scratch, const char *bytes, size_t size, bool more,
                 mr_split_piece *piece, void *context, size_t *used)
{
    size_t at = 0;
    while (at < size) {
        size_t valid = mr_utf8_valid(bytes + at, size - at), step = 0, end = at + valid;
        uint32_t c;
        bool cut = end < size && more && mr_utf8_decode(bytes + end, size - end, &c) == MR_UTF8_CUT;
        bool last = more && (end == size || cut);
        MR_TRY(split_valid(s, scratch, bytes + at, valid, last, piece, context, &step));
        at += step;
        if (last)
            break;
        if (end < size)
            MR_TRY(piece(context, bytes + end++, 1));
        at = end;
    }
    *used = at;
    return 0;
}
