/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "text/hf_tokenizer.h"
#include "text/nfc.h"

enum { FIRST_WAIT = 1 << 16 };

struct scratch {
    const struct mr_hf_tokenizer *tokenizer;
    mr_bpe_scratch *scratch;
    mr_split_scratch *matching; /* NULL: no step needs it */
    struct mr_str text;         /* normalised, not yet encoded */
    size_t wait;                /* bytes of it that make another attempt worth while */
    bool in_stretch;            /* some of the stretch between added tokens was encoded already */
    /* the call under way */
    struct mr_ids *ids;
    const char *bytes;
    size_t size;
    uint64_t position;
};

/* Where the bytes stand in the text; after a change of the text, which nobody follows, only about where. */
static uint64_t position_of(const struct scratch *x, const char *bytes)
{
    bool inside = (uintptr_t)bytes >= (uintptr_t)x->bytes && (uintptr_t)bytes - (uintptr_t)x->bytes < x->size;
    return x->position + (inside ? (uint64_t)(bytes - x->bytes) : 0);
}

int mr_hf_tokenizer_scratch_open(mr_encoder *e)
{
    const struct mr_hf_tokenizer *j = e->tokenizer->data;
    struct scratch *x = e->scratch = mr_alloc(1, sizeof *x);
    if (!x)
        return MR_ENOMEM;
    x->tokenizer = j;
    x->wait = FIRST_WAIT;
    for (int i = 0; i < j->step_count; i++)
        if (j->step[i].split && !x->matching)
            MR_TRY(mr_split_scratch_open(&x->matching));
    return mr_bpe_scratch_open(&x->scratch);
}

void mr_hf_tokenizer_scratch_close(void *scratch)
{
    struct scratch *x = scratch;
    mr_bpe_scratch_close(x->scratch);
    mr_split_scratch_close(x->matching);
    mr_str_free(&x->text);
    free(x);
}

/* ---- the steps of the pre-tokenizer -------------------------------------------------------------------- */

static int run_step(struct scratch *x, int number, const char *bytes, size_t size, bool more, bool goes_on,
                    size_t *used);

/* The pieces of one step go through the next one. */
struct next_step {
    struct scratch *x;
    int number;
};

static int pass_on(void *context, const char *bytes, size_t size)
{
    struct next_step *next = context;
    size_t used;
    return run_step(next->x, next->number, bytes, size, false, false, &used);
}

static int cut_words(struct scratch *x, int number, const char *bytes, size_t size, bool more, size_t *used)
{
    const struct mr_json_step *step = &x->tokenizer->step[number];
    if (step->words && number + 1 == x->tokenizer->step_count)
        return mr_bpe_encode_words(&x->tokenizer->bpe, x->scratch, bytes, size, more, position_of(x, bytes), x->ids,
                                   used);
    return run_step(x, number + 1, bytes, size, more, true, used);
}

/* With the space before it; when not even the first word is certain, nothing is done. */
static int cut_words_behind_space(struct scratch *x, int number, const char *bytes, size_t size, bool more,
                                  size_t *used)
{
    struct mr_str spaced = {0};
    size_t before = x->ids->count;
    int err = mr_str_append(&spaced, " ", 1);
    if (!err)
        err = mr_str_append(&spaced, bytes, size);
    if (!err)
        err = cut_words(x, number, spaced.text, spaced.size, more, used);
    mr_str_free(&spaced);
    if (!err && *used <= 1)
        x->ids->count = before;
    *used -= *used > 0;
    return err;
}

/* goes_on: the bytes are not the start of a piece. */
static int run_step(struct scratch *x, int number, const char *bytes, size_t size, bool more, bool goes_on,
                    size_t *used)
{
    const struct mr_hf_tokenizer *j = x->tokenizer;
    *used = 0;
    if (!size)
        return 0;
    if (number == j->step_count) { /* a piece is encoded as one */
        if (more)
            return 0;
        *used = size;
        return mr_bpe_encode(&j->bpe, x->scratch, bytes, size, position_of(x, bytes), x->ids);
    }
    const struct mr_json_step *step = &j->step[number];
    if (step->split) {
        struct next_step next = {x, number + 1};
        return mr_split_all(step->split, x->matching, bytes, size, more, pass_on, &next, used);
    }
    if (step->prefix_space && !goes_on && bytes[0] != ' ')
        return cut_words_behind_space(x, number, bytes, size, more, used);
    return cut_words(x, number, bytes, size, more, used);
}

/* ---- what comes before them ---------------------------------------------------------------------------- */

/* Text between added tokens, in its normal form. */
static int encode_stretch(void *context, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    struct scratch *x = context;
    x->ids = ids;
    int err = run_step(x, 0, bytes, size, more, x->in_stretch, used);
    x->in_stretch = !err && more && (x->in_stretch || *used);
    return err;
}

static int cut_normalised(struct scratch *x, const char *bytes, size_t size, bool more, struct mr_ids *ids,
                          size_t *used)
{
    return mr_trie_cut(&x->tokenizer->normalised, bytes, size, more, encode_stretch, x, ids, used);
}

/* Encodes what waits in x->text and leaves there what is not certain. */
static int encode_waiting(struct scratch *x, bool more, struct mr_ids *ids)
{
    size_t done = 0;
    int err = cut_normalised(x, x->text.text ? x->text.text : "", x->text.size, more, ids, &done);
    if (err < 0)
        done = x->text.size;
    x->text.size -= done;
    if (x->text.size)
        memmove(x->text.text, x->text.text + done, x->text.size);
    x->wait = x->text.size > FIRST_WAIT / 2 ? x->text.size * 2 : FIRST_WAIT;
    return err;
}

/* Raw text between added tokens. */
static int normalise(void *context, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    struct scratch *x = context;
    size_t certain = size;
    const struct mr_normal *normal = &x->tokenizer->normal;
    bool changes = normal->compose || normal->lower;
    if (changes && more)
        certain = mr_normal_certain(normal, bytes, size);
    if (!x->text.size && (!changes || mr_normal_is_plain(normal, bytes, certain)))
        return cut_normalised(x, bytes, certain, more, ids, used);
    MR_TRY(mr_normalise(normal, bytes, certain, &x->text));
    *used = certain;
    if (more && x->text.size < x->wait)
        return 0;
    return encode_waiting(x, more, ids);
}

int mr_hf_tokenizer_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used)
{
    struct scratch *x = e->scratch;
    x->bytes = bytes;
    x->size = size;
    x->position = e->position;
    int err = mr_trie_cut(&x->tokenizer->raw, bytes, size, more, normalise, x, ids, used);
    if (err < 0) {
        x->text.size = 0;
        x->in_stretch = false;
    }
    return err;
}
