/* SPDX-License-Identifier: GPL-3.0-or-later
 * The tokenizer "json:FILE" taken apart: what json_read.c makes of a tokenizer.json, and json_encode.c encodes with.
 *     text → added tokens that are looked for in raw text → the normal form → added tokens that are looked for in
 * normalised text → the steps of the pre-tokenizer → byte-pair encoding */
#ifndef MR_TEXT_HF_TOKENIZER_H
#define MR_TEXT_HF_TOKENIZER_H

#include "text/bpe.h"
#include "text/nfc.h"
#include "text/split.h"
#include "text/tokenizer_kind.h"

enum { MR_JSON_STEPS = 16 };

struct mr_json_step {
    mr_split *split;          /* NULL: ByteLevel */
    bool prefix_space, words; /* ByteLevel: begins each piece with a space; cuts it into GPT-2's words */
};

struct mr_hf_tokenizer {
    struct mr_bpe bpe;
    struct mr_normal normal;
    struct mr_trie raw, normalised; /* added tokens that are not special */
    struct mr_json_step step[MR_JSON_STEPS];
    int step_count;
};

/* Fills t from the object of a tokenizer.json. What is not supported is MR_EFILE with its name. */
int mr_hf_tokenizer_read(mr_tokenizer *t, const json_t *json);
void mr_hf_tokenizer_close(mr_tokenizer *t);

int mr_hf_tokenizer_encode(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used);
int mr_hf_tokenizer_scratch_open(mr_encoder *e);
void mr_hf_tokenizer_scratch_close(void *scratch);

#endif
