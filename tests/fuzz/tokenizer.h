/* SPDX-License-Identifier: GPL-3.0-or-later
 * What must hold for any tokenizer. */
#ifndef MR_FUZZ_TOKENIZER_H
#define MR_FUZZ_TOKENIZER_H

#include "fuzz.h"

#include "text/tokenizer.h"
#include "text/tokenizer_kind.h"

enum { FUZZ_MOST_DECODED = 1000 };

/* Encodes in pieces of the sizes 1 to 16 that follow from the seed. */
static inline int fuzz_encode_pieces(mr_encoder *e, const char *text, size_t size, uint32_t seed, struct mr_ids *ids)
{
    for (size_t at = 0, n; at < size; at += n) {
        seed = seed * 1664525u + 1013904223u;
        n = 1 + (seed >> 28);
        n = n < size - at ? n : size - at;
        MR_TRY(mr_encoder_feed(e, text + at, n, ids));
    }
    return mr_encoder_finish(e, ids);
}

/* exact: together the tokens are the text. */
static inline void fuzz_decode(const mr_tokenizer *t, const struct mr_ids *ids, const char *text, size_t size,
                               bool exact)
{
    for (size_t i = 0; i < ids->count; i++) {
        const char *bytes;
        size_t n;
        fuzz_must(!mr_tokenizer_decode(t, ids->id[i], &bytes, &n));
        if (!exact)
            continue;
        fuzz_must(n <= size && !memcmp(bytes, text, n));
        text += n;
        size -= n;
    }
    fuzz_must(!exact || !size);
}

/* The whole text and the text in pieces give the same ids, or both fail; and what they stand for is the text.
 */
static inline int fuzz_encode(const mr_tokenizer *t, const char *text, size_t size, bool special, uint32_t seed)
{
    struct mr_ids whole = {0}, pieces = {0};
    mr_encoder *e = NULL;
    int err = mr_tokenizer_encode(t, text, size, special, &whole);
    fuzz_must(!mr_encoder_open(&e, t, special));
    int other = fuzz_encode_pieces(e, text, size, seed, &pieces);
    fuzz_must(err == other);
    if (!err) {
        fuzz_must(whole.count == pieces.count);
        fuzz_must(!whole.count || !memcmp(whole.id, pieces.id, whole.count * sizeof *whole.id));
        fuzz_decode(t, &whole, text, size, !special && strcmp(mr_tokenizer_name(t), "json") != 0);
    }
    mr_encoder_close(e);
    mr_ids_free(&whole);
    mr_ids_free(&pieces);
    return err;
}

/* All of that for a tokenizer that a file gave, which may lack the tokens that a text needs. Closes it. */
static inline void fuzz_tokenizer(mr_tokenizer *t)
{
    static const char text[] =
        "Hello, World! It's  a\tcaf\xc3\xa9 e\xcc\x81 \xe4\xb8\xad\xe6\x96\x87 "
        "1234567890\r\n\n<|endoftext|>aaaa"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab \xff\xc3 \xf0\x9f\x99\x82<|end|> the the the </s>";
    mr_tokenizer *again = NULL;
    size_t count = mr_tokenizer_vocab_size(t), size;
    const char *bytes;
    fuzz_must(mr_tokenizer_end(t) < (int64_t)count);
    for (size_t id = 0; id < count && id < FUZZ_MOST_DECODED; id++)
        fuzz_must(!mr_tokenizer_decode(t, (uint32_t)id, &bytes, &size));
    fuzz_must(mr_tokenizer_decode(t, (uint32_t)count, &bytes, &size) < 0);
    for (size_t n = 0; n <= sizeof text; n += n < 8 ? 1 : 16)
        for (int special = 0; special < 2; special++)
            fuzz_encode(t, text, n < sizeof text ? n : sizeof text - 1, special, (uint32_t)n);
    json_t *json = mr_tokenizer_to_json(t);
    fuzz_must(json && !mr_tokenizer_open_json(&again, json));
    fuzz_must(mr_tokenizer_equal(t, again));
    json_decref(json);
    mr_tokenizer_close(again);
    mr_tokenizer_close(t);
}

/* Opens what the specification says. */
static inline int fuzz_tokenizer_spec(const char *kind, const char *place)
{
    char spec[1024];
    mr_tokenizer *t = NULL;
    snprintf(spec, sizeof spec, "%s:%s", kind, place);
    int err = mr_tokenizer_open(&t, spec);
    if (!err)
        fuzz_tokenizer(t);
    return err;
}

#endif
