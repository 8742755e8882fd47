/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "data/prepare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/json.h"
#include "text/chars.h"
#include "data/foreign_tokens.h"
#include "data/source.h"
#include "data/token_file.h"
#include "text/train_bpe.h"

enum { FEWEST_TOKENS = 2 }; /* one to read and one to predict */

struct input {
    const char *name;
    mr_source *source;
    mr_foreign_tokens *tokens; /* instead of text: tokens that another program made */
    uint64_t characters;       /* bytes that begin one, all of them for ASCII; or tokens */
};

struct work {
    const struct mr_prepare *p;
    struct input *inputs;
    int input_count;
    uint64_t total, done; /* bytes of text, of all inputs and in this pass */
    struct mr_char_set *chars;
    mr_bpe_trainer *trainer;
    mr_tokenizer *tokenizer;
    mr_encoder *encoder;
    mr_token_writer *writer;
    struct mr_ids ids;
    struct mr_prepared *result;
    bool in_document; /* some of its text was encoded */
    bool in_prompt;
};

static int open_inputs(struct work *w)
{
    const struct mr_prepare *p = w->p;
    w->inputs = mr_alloc((size_t)p->input_count + 1, sizeof *w->inputs);
    if (!w->inputs)
        return MR_ENOMEM;
    for (int i = 0; i < p->input_count; i++) {
        struct input *in = &w->inputs[w->input_count++];
        in->name = p->inputs[i];
        MR_TRY(mr_foreign_tokens_open(&in->tokens, in->name));
        if (!in->tokens)
            MR_TRY(mr_source_open(&in->source, in->name, p->reading));
    }
    if (p->stories)
        MR_TRY(mr_source_open_stories(&w->inputs[w->input_count++].source, p->stories, p->seed));
    return 0;
}

static int advance(struct work *w, const char *stage, size_t bytes)
{
    w->done += bytes;
    if (w->p->progress)
        w->p->progress(w->p->context, stage, w->done, w->total);
    if (w->p->stop && *w->p->stop)
        return mr_fail(MR_EINTERRUPTED, "stopped: nothing was written");
    return 0;
}

static uint64_t count_characters(const char *text, size_t size)
{
    uint64_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

/* What a tokenizer that is made from the text learns of a piece. */
static int learn(struct work *w, const struct mr_piece *piece)
{
    if (w->chars)
        return piece->kind == MR_PIECE_END ? mr_char_set_finish(w->chars)
                                           : mr_char_set_feed(w->chars, piece->text, piece->size);
    if (w->trainer)
        return piece->kind == MR_PIECE_TEXT ? mr_bpe_trainer_feed(w->trainer, piece->text, piece->size)
                                            : mr_bpe_trainer_finish(w->trainer);
    return 0;
}

/* The first pass over one input. */
static int measure(struct work *w, struct input *in)
{
    struct mr_piece piece;
    int more;
    if (in->tokens && !w->tokenizer)
        return mr_fail(MR_EINVAL, "%s holds tokens, not text: name the tokenizer that made them", in->name);
    if (in->tokens) {
        in->characters = mr_foreign_tokens_count(in->tokens);
        return advance(w, "reading", in->characters);
    }
    while ((more = mr_source_next(in->source, &piece)) > 0) {
        in->characters += count_characters(piece.text, piece.size);
        int err = learn(w, &piece);
        if (err)
            return mr_fail_in(err, "%s", mr_source_name(in->source));
        MR_TRY(advance(w, "reading", piece.size));
    }
    if (!more && w->trainer)
        more = mr_bpe_trainer_finish(w->trainer);
    return more < 0 ? more : mr_source_rewind(in->source);
}

static int measure_all(struct work *w)
{
    if (w->p->train_bpe) {
        MR_TRY(mr_bpe_trainer_open(&w->trainer, w->p->train_bpe));
    } else if (strcmp(w->p->tokenizer, "char") == 0) {
        w->chars = mr_alloc(1, sizeof *w->chars);
        if (!w->chars)
            return MR_ENOMEM;
    } else {
        MR_TRY(mr_tokenizer_open(&w->tokenizer, w->p->tokenizer));
    }
    for (int i = 0; i < w->input_count; i++)
        MR_TRY(measure(w, &w->inputs[i]));
    if (!w->done)
        return mr_fail(MR_EFILE, "there is no text in %s",
                       w->input_count == 1 && w->inputs[0].name ? w->inputs[0].name : "the inputs");
    w->total = w->done;
    if (w->trainer)
        return mr_bpe_trainer_tokenizer(w->trainer, &w->tokenizer);
    return w->chars ? mr_tokenizer_from_chars(&w->tokenizer, w->chars) : 0;
}

/* The trained tokenizer beside the data, as bpe:FILE takes it. */
static int save_trained(struct work *w)
{
    json_t *json = mr_tokenizer_to_json(w->tokenizer);
    if (!json)
        return MR_ENOMEM;
    snprintf(w->result->tokenizer_file, sizeof w->result->tokenizer_file, "%s/tokenizer.json", w->p->out);
    int err = mr_json_save(json, w->result->tokenizer_file);
    json_decref(json);
    return err;
}

static int write_ids(struct work *w, int split, size_t text_bytes)
{
    int err = mr_token_writer_write(w->writer, split, w->ids.id, w->ids.count, text_bytes);
    w->ids.count = 0;
    return err;
}

static int encode_text(struct work *w, int split, const char *text, size_t size)
{
    if (!size)
        return 0;
    w->in_document = true;
    MR_TRY(mr_encoder_feed(w->encoder, text, size, &w->ids));
    return write_ids(w, split, size);
}

static int end_text(struct work *w, int split)
{
    MR_TRY(mr_encoder_finish(w->encoder, &w->ids));
    return write_ids(w, split, 0);
}

static int end_document(struct work *w, int split)
{
    MR_TRY(end_text(w, split));
    if (!w->in_document)
        return 0;
    w->in_document = false;
    w->result->documents++;
    if (mr_tokenizer_end(w->tokenizer) < 0)
        return 0;
    MR_TRY(mr_ids_append(&w->ids, (uint32_t)mr_tokenizer_end(w->tokenizer)));
    return write_ids(w, split, 0);
}

/* How many bytes of the text hold the first `characters` characters of it, at most all. */
static size_t bytes_of(const char *text, size_t size, uint64_t characters)
{
    for (size_t i = 0; i < size; i++)
        if (((unsigned char)text[i] & 0xC0) != 0x80 && !characters--)
            return i;
    return size;
}

static int encode_piece(struct work *w, const struct mr_piece *piece, uint64_t *train_left, int *split)
{
    bool has_end = mr_tokenizer_end(w->tokenizer) >= 0;
    bool is_text = piece->kind == MR_PIECE_TEXT || (piece->kind == MR_PIECE_MARK && !has_end);
    size_t before = *split == MR_SPLIT_VAL ? 0 : bytes_of(piece->text, piece->size, *train_left);
    if (piece->kind == MR_PIECE_MARK && has_end)
        MR_TRY(end_document(w, *split));
    if (w->p->answers && w->in_prompt != piece->prompt) {
        MR_TRY(end_text(w, *split));
        mr_token_writer_targets(w->writer, !piece->prompt);
        w->in_prompt = piece->prompt;
    }
    if (is_text)
        MR_TRY(encode_text(w, *split, piece->text, before));
    if (*split == MR_SPLIT_TRAIN) {
        *train_left -= count_characters(piece->text, before);
        if (before < piece->size) {
            MR_TRY(end_text(w, *split));
            *split = MR_SPLIT_VAL;
        }
    }
    if (is_text)
        MR_TRY(encode_text(w, *split, piece->text + before, piece->size - before));
    if (piece->kind == MR_PIECE_END)
        return end_document(w, *split);
    if (piece->kind == MR_PIECE_MARK && !has_end && w->in_document) {
        w->result->documents++;
        w->in_document = false;
    }
    return 0;
}

/* Tokens as they are; those that end documents are counted. */
static int copy_tokens(struct work *w, const struct input *in)
{
    enum { PIECE = 4096 };
    uint32_t ids[PIECE];
    uint64_t train = (uint64_t)((double)in->characters * (1 - w->p->val_fraction)),
             vocab = mr_tokenizer_vocab_size(w->tokenizer);
    for (uint64_t at = 0; at < in->characters;) {
        uint64_t left = (at < train ? train : in->characters) - at;
        size_t n = left < PIECE ? (size_t)left : PIECE, bytes = 0;
        MR_TRY(mr_foreign_tokens_read(in->tokens, at, n, vocab, ids));
        for (size_t i = 0; i < n; i++) {
            const char *text;
            size_t size;
            bool end = (int64_t)ids[i] == (int64_t)mr_tokenizer_end(w->tokenizer);
            MR_TRY(mr_tokenizer_decode(w->tokenizer, ids[i], &text, &size));
            bytes += end ? 0 : size;
            w->result->documents += end;
        }
        MR_TRY(mr_token_writer_write(w->writer, at < train ? MR_SPLIT_TRAIN : MR_SPLIT_VAL, ids, n, bytes));
        MR_TRY(advance(w, "encoding", n));
        at += n;
    }
    return 0;
}

/* The second pass over one input. */
static int encode(struct work *w, struct input *in)
{
    struct mr_piece piece;
    int more, split = MR_SPLIT_TRAIN;
    uint64_t train_left = (uint64_t)((double)in->characters * (1 - w->p->val_fraction));
    if (in->tokens)
        return copy_tokens(w, in);
    while ((more = mr_source_next(in->source, &piece)) > 0) {
        int err = encode_piece(w, &piece, &train_left, &split);
        if (err)
            return mr_fail_in(err, "%s", mr_source_name(in->source));
        MR_TRY(advance(w, "encoding", piece.size));
    }
    struct mr_source_counts met = mr_source_counts(in->source);
    w->result->met.skipped_lines += met.skipped_lines;
    w->result->met.replaced += met.replaced;
    return more < 0 ? more : end_document(w, split);
}

static int encode_all(struct work *w)
{
    MR_TRY(mr_encoder_open(&w->encoder, w->tokenizer, w->p->special));
    MR_TRY(mr_token_writer_open(&w->writer, w->p->out, w->tokenizer));
    if (w->p->answers)
        MR_TRY(mr_token_writer_masks(w->writer));
    w->done = 0;
    for (int i = 0; i < w->input_count; i++)
        MR_TRY(encode(w, &w->inputs[i]));
    struct mr_prepared *r = w->result;
    for (int split = 0; split < MR_SPLITS; split++) {
        r->tokens[split] = mr_token_writer_count(w->writer, split);
        r->bytes[split] = mr_token_writer_bytes(w->writer, split);
        if (r->tokens[split] < FEWEST_TOKENS && (split == MR_SPLIT_TRAIN || w->p->val_fraction > 0))
            return mr_fail(MR_EFILE, "there is too little text: %llu tokens for %s.bin, at least %d are needed%s",
                           (unsigned long long)r->tokens[split], mr_split_name(split), FEWEST_TOKENS,
                           split == MR_SPLIT_VAL ? " (or --val-fraction 0)" : "");
    }
    snprintf(r->tokenizer, sizeof r->tokenizer, "%s", mr_tokenizer_name(w->tokenizer));
    r->vocab_size = mr_tokenizer_vocab_size(w->tokenizer);
    if (w->trainer)
        MR_TRY(save_trained(w));
    mr_token_writer *writer = w->writer;
    w->writer = NULL;
    return mr_token_writer_commit(writer);
}

int mr_prepare(const struct mr_prepare *p, struct mr_prepared *result)
{
    struct work w = {.p = p, .result = result};
    int err;
    *result = (struct mr_prepared){0};
    if (!(p->val_fraction >= 0 && p->val_fraction < 1))
        return mr_fail(MR_EINVAL, "val_fraction is %g: it must be at least 0 and below 1", p->val_fraction);
    if (!p->input_count && !p->stories)
        return mr_fail(MR_EINVAL, "there is nothing to prepare: name inputs, or a number of stories");
    MR_GO(open_inputs(&w));
    MR_GO(measure_all(&w));
    MR_GO(encode_all(&w));
fail:
    mr_token_writer_discard(w.writer);
    mr_encoder_close(w.encoder);
    mr_tokenizer_close(w.tokenizer);
    mr_bpe_trainer_close(w.trainer);
    for (int i = 0; i < w.input_count; i++) {
        mr_source_close(w.inputs[i].source);
        mr_foreign_tokens_close(w.inputs[i].tokens);
    }
    free(w.inputs);
    free(w.chars);
    mr_ids_free(&w.ids);
    return err;
}
