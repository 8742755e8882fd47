/* SPDX-License-Identifier: GPL-3.0-or-later
 * What a kind of tokenizer supplies; only the files of the kinds and tokenizer.c include this. */
#ifndef MR_TEXT_TOKENIZER_KIND_H
#define MR_TEXT_TOKENIZER_KIND_H

#include "base/str.h"
#include "text/tokenizer.h"
#include "text/trie.h"

struct mr_tokenizer_kind {
    const char *name;
    const char *argument; /* what follows "name:" in a spec, for messages; NULL: nothing does */
    /* Both fill t->data, vocab_size, end and the specials; what they leave after a failure, close frees.
     * open is NULL where there is nothing to open by name. */
    int (*open)(mr_tokenizer *t, const char *argument);
    int (*load)(mr_tokenizer *t, const json_t *json);
    int (*save)(const mr_tokenizer *t, json_t *json); /* adds to the object */
    void (*close)(mr_tokenizer *t);                   /* frees t->data, which may be NULL */

    /* Appends the ids of the bytes. With `more`, further bytes follow: encode as much as they cannot change,
     * and set *used to the number of bytes done with; else all of them (which may be none). A stretch of text, from
     * its start or a special token to its end or the next one, comes in any number of calls with `more` and ends
     * with one without; e->begun: this is not the stretch's first. e->position is the place in the text. */
    int (*encode)(mr_encoder *e, const char *bytes, size_t size, bool more, struct mr_ids *ids, size_t *used);
    void (*decode)(const mr_tokenizer *t, uint32_t id, const char **bytes, size_t *size); /* id < vocab_size */

    /* Per encoder, NULL where none is needed. */
    int (*scratch_open)(mr_encoder *e); /* fills e->scratch */
    void (*scratch_close)(void *scratch);
};

enum { MR_STARTS = 8 };

struct mr_special {
    char *text;
    size_t size;
    uint32_t id;
};

struct mr_tokenizer {
    const struct mr_tokenizer_kind *kind;
    void *data;
    size_t vocab_size;
    int64_t end;
    struct mr_special *special; /* recognised only on request */
    size_t special_count;
    struct mr_trie special_trie; /* made of them by tokenizer.c */
    uint32_t start[MR_STARTS];   /* tokens that a text begins with for the model */
    size_t start_count;
    char *source; /* JSON text of the file's content, for mr_tokenizer_save_source; or NULL */
};

struct mr_encoder {
    const mr_tokenizer *tokenizer;
    void *scratch;
    bool special, begun;
    uint64_t position;     /* of the first byte not yet encoded, in the text so far */
    struct mr_str pending; /* bytes from there on that were fed already */
    size_t wait;           /* pending bytes that make another attempt worth while */
};

/* Adds a special token; the text is copied. */
int mr_tokenizer_add_special(mr_tokenizer *t, const char *text, size_t size, uint32_t id);

/* Keeps an object as text, and a kind's `save` that gives its members back. */
int mr_tokenizer_keep_source(mr_tokenizer *t, const json_t *object);
int mr_tokenizer_save_source(const mr_tokenizer *t, json_t *json);

extern const struct mr_tokenizer_kind mr_tokenizer_byte, mr_tokenizer_char, mr_tokenizer_gpt2, mr_tokenizer_json,
    mr_tokenizer_world, mr_tokenizer_bpe;

#endif
