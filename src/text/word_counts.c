/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/word_counts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/alloc.h"
#include "base/error.h"

enum { FIRST_SLOTS = 1 << 12, DEFAULT_LIMIT = 16 << 20 };

static size_t slot_of(const struct mr_word_counts *w, const char *word, size_t size, uint64_t hash)
{
    size_t i = hash & w->mask;
    for (; w->slot[i]; i = (i + 1) & w->mask) {
        const struct mr_word_count *c = &w->word[w->slot[i] - 1];
        if (c->hash == hash && c->size == size && !memcmp(w->bytes.text + c->at, word, size))
            break;
    }
    return i;
}

/* A table of `slots` for the words there are. */
static int rebuild(struct mr_word_counts *w, size_t slots)
{
    uint32_t *slot = mr_alloc(slots, sizeof *slot);
    if (!slot)
        return MR_ENOMEM;
    free(w->slot);
    w->slot = slot;
    w->mask = slots - 1;
    for (size_t n = 0; n < w->count; n++) {
        size_t i = w->word[n].hash & w->mask;
        while (slot[i])
            i = (i + 1) & w->mask;
        slot[i] = (uint32_t)n + 1;
    }
    return 0;
}

/* Forgets words of at most `rare` occurrences. */
static void forget(struct mr_word_counts *w, uint64_t rare)
{
    size_t kept = 0, at = 0;
    for (size_t n = 0; n < w->count; n++) {
        struct mr_word_count c = w->word[n];
        if (c.count <= rare)
            continue;
        memmove(w->bytes.text + at, w->bytes.text + c.at, c.size);
        c.at = (uint32_t)at;
        at += c.size;
        w->word[kept++] = c;
    }
    w->count = kept;
    w->bytes.size = at;
}

int mr_word_counts_add(struct mr_word_counts *w, const char *word, size_t size)
{
    uint64_t hash = XXH3_64bits(word, size);
    size_t limit = w->limit ? w->limit : DEFAULT_LIMIT;
    if (w->bytes.size + size > limit && w->count) {
        for (uint64_t rare = 1; w->bytes.size > limit / 2; rare *= 2)
            forget(w, rare);
        MR_TRY(rebuild(w, w->mask + 1));
    }
    if (!w->slot || w->count > w->mask / 2)
        MR_TRY(rebuild(w, w->slot ? (w->mask + 1) * 2 : FIRST_SLOTS));
    size_t i = slot_of(w, word, size, hash);
    if (w->slot[i]) {
        w->word[w->slot[i] - 1].count++;
        return 0;
    }
    MR_TRY(mr_grow(&w->word, &w->capacity, w->count + 1, sizeof *w->word));
    w->word[w->count] = (struct mr_word_count){hash, 1, (uint32_t)w->bytes.size, (uint32_t)size};
    MR_TRY(mr_str_append(&w->bytes, word, size));
    w->slot[i] = (uint32_t)++w->count;
    return 0;
}

void mr_word_counts_free(struct mr_word_counts *w)
{
    free(w->word);
    free(w->slot);
    mr_str_free(&w->bytes);
    *w = (struct mr_word_counts){0};
}
