/* SPDX-License-Identifier: GPL-3.0-or-later
 * Encoding a word: from memory, by looking again and again through a short one, or by a heap of pairs over a list
 * of neighbours for a long one. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "text/bpe.h"
#include "text/words.h"

enum { SHORT_WORD = 32, KNOWN_WORDS = 8192, KNOWN_SIZE = 23, KNOWN_IDS = 5, KEPT_SYMBOLS = 1 << 14 };
#define GONE UINT32_MAX

/* A word that was encoded before: its bytes, zeros, and the size in the last byte. */
struct known {
    uint64_t key[3];
    uint32_t id[KNOWN_IDS], count;
};

struct symbol {
    uint32_t id, before, after; /* id GONE: merged into its left neighbour; neighbours GONE: none */
};

struct mr_bpe_scratch {
    struct known *known;   /* [KNOWN_WORDS] */
    struct symbol *symbol; /* of a long word */
    size_t symbol_capacity;
    uint64_t *heap; /* rank << 32 | place of the left symbol */
    size_t heap_size, heap_capacity;
};

int mr_bpe_scratch_open(mr_bpe_scratch **out)
{
    mr_bpe_scratch *scratch = mr_alloc(1, sizeof *scratch);
    *out = NULL;
    if (!scratch)
        return MR_ENOMEM;
    scratch->known = mr_alloc(KNOWN_WORDS, sizeof *scratch->known);
    if (!scratch->known) {
        free(scratch);
        return MR_ENOMEM;
    }
    *out = scratch;
    return 0;
}

static void drop_symbols(mr_bpe_scratch *scratch)
{
    free(scratch->symbol);
    free(scratch->heap);
    scratch->symbol = NULL;
    scratch->heap = NULL;
    scratch->symbol_capacity = scratch->heap_capacity = 0;
}

void mr_bpe_scratch_close(mr_bpe_scratch *scratch)
{
    if (!scratch)
        return;
    drop_symbols(scratch);
    free(scratch->known);
    free(scratch);
}

static int first_ids(const struct mr_bpe *b, const char *word, size_t size, uint64_t position, uint32_t *id,
                     size_t stride)
{
    for (size_t i = 0; i < size; i++) {
        int32_t of_byte = b->byte_id[(unsigned char)word[i]];
        if (of_byte < 0)
            return mr_fail(MR_EFILE, "the vocabulary has no token for byte 0x%02x, found at offset %llu",
                           (unsigned char)word[i], (unsigned long long)(position + i));
        id[i * stride] = (uint32_t)of_byte;
    }
    return 0;
}

static uint32_t rank_of(const struct mr_bpe *b, uint32_t left, uint32_t right)
{
    return mr_pairs_get(&b->merges, mr_pair(left, right));
}

static int encode_short(const struct mr_bpe *b, const char *word, size_t size, uint64_t position, struct mr_ids *ids)
{
    uint32_t *id = ids->id + ids->count, rank[SHORT_WORD]; /* rank[i]: of the pair i, i + 1 */
    MR_TRY(first_ids(b, word, size, position, id, 1));
    for (size_t i = 0; i + 1 < size; i++)
        rank[i] = rank_of(b, id[i], id[i + 1]);
    while (size > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < size; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == MR_NO_PAIR)
            break;
        id[best] = b->merge[rank[best]].merged;
        size--;
        memmove(id + best + 1, id + best + 2, (size - best - 1) * sizeof *id);
        memmove(rank + best, rank + best + 1, (size - best - 1) * sizeof *rank);
        if (best > 0)
            rank[best - 1] = rank_of(b, id[best - 1], id[best]);
        if (best + 1 < size)
            rank[best] = rank_of(b, id[best], id[best + 1]);
    }
    ids->count += size;
    return 0;
}

/* ---- long words ---------------------------------------------------------------------------------------- */

static int push(mr_bpe_scratch *scratch, uint32_t rank, uint32_t place)
{
    uint64_t value = (uint64_t)rank << 32 | place;
    if (rank == MR_NO_PAIR)
        return 0;
    MR_TRY(mr_grow(&scratch->heap, &scratch->heap_capacity, scratch->heap_size + 1, sizeof *scratch->heap));
    size_t i = scratch->heap_size++;
    for (; i && scratch->heap[(i - 1) / 2] > value; i = (i - 1) / 2)
        scratch->heap[i] = scratch->heap[(i - 1) / 2];
    scratch->heap[i] = value;
    return 0;
}

static uint64_t pop(mr_bpe_scratch *scratch)
{
    uint64_t *heap = scratch->heap, top = heap[0], value = heap[--scratch->heap_size];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < scratch->heap_size) {
        child += child + 1 < scratch->heap_size && heap[child + 1] < heap[child];
        if (heap[child] >= value)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = value;
    return top;
}

static int merge_all(const struct mr_bpe *b, mr_bpe_scratch *scratch)
{
    struct symbol *s = scratch->symbol;
    while (scratch->heap_size) {
        uint64_t top = pop(scratch);
        uint32_t rank = (uint32_t)(top >> 32), left = (uint32_t)top, right = s[left].after;
        if (s[left].id != b->merge[rank].left || right == GONE || s[right].id != b->merge[rank].right)
            continue; /* one of the two has merged with another */
        s[left].id = b->merge[rank].merged;
        s[right].id = GONE;
        s[left].after = s[right].after;
        if (s[left].after != GONE) {
            s[s[left].after].before = left;
            MR_TRY(push(scratch, rank_of(b, s[left].id, s[s[left].after].id), left));
        }
        if (s[left].before != GONE)
            MR_TRY(push(scratch, rank_of(b, s[s[left].before].id, s[left].id), s[left].before));
    }
    return 0;
}

static int encode_long(const struct mr_bpe *b, mr_bpe_scratch *scratch, const char *word, size_t size,
                       uint64_t position, struct mr_ids *ids)
{
    if (size >= GONE)
        return mr_fail(MR_EFILE, "a word of %zu bytes is too long", size);
    if (size > scratch->symbol_capacity) {
        drop_symbols(scratch);
        if (!(scratch->symbol = mr_alloc(size, sizeof *scratch->symbol)))
            return MR_ENOMEM;
        scratch->symbol_capacity = size;
    }
    struct symbol *s = scratch->symbol;
    MR_TRY(first_ids(b, word, size, position, &s->id, sizeof *s / sizeof s->id));
    scratch->heap_size = 0;
    for (uint32_t i = 0; i < size; i++) {
        s[i].before = i ? i - 1 : GONE;
        s[i].after = i + 1 < size ? i + 1 : GONE;
    }
    for (uint32_t i = 0; i + 1 < size; i++)
        MR_TRY(push(scratch, rank_of(b, s[i].id, s[i + 1].id), i));
    MR_TRY(merge_all(b, scratch));
    for (uint32_t i = 0; i != GONE; i = s[i].after)
        MR_TRY(mr_ids_append(ids, s[i].id));
    if (scratch->symbol_capacity > KEPT_SYMBOLS)
        drop_symbols(scratch);
    return 0;
}

/* ---- any word ------------------------------------------------------------------------------------------ */

static struct known *known_place(mr_bpe_scratch *scratch, const char *word, size_t size, uint64_t key[3])
{
    char text[sizeof(uint64_t[3])] = {0};
    memcpy(text, word, size);
    text[sizeof text - 1] = (char)size;
    memcpy(key, text, sizeof text);
    uint64_t hash = (key[0] * 0x9E3779B97F4A7C15u) ^ (key[1] * 0xC2B2AE3D27D4EB4Fu) ^ (key[2] * 0x165667B19E3779F9u);
    return &scratch->known[(hash ^ hash >> 29) * 0x9E3779B97F4A7C15u >> 51]; /* 13 bits */
}

int mr_bpe_encode(const struct mr_bpe *b, mr_bpe_scratch *scratch, const char *word, size_t size, uint64_t position,
                  struct mr_ids *ids)
{
    uint64_t key[3];
    size_t before = ids->count;
    uint32_t whole;
    bool open;
    if (b->whole_words && size && mr_trie_longest(&b->words, word, size, &whole, &open) == size)
        return mr_ids_append(ids, whole);
    if (size > SHORT_WORD)
        return encode_long(b, scratch, word, size, position, ids);
    MR_TRY(mr_ids_reserve(ids, SHORT_WORD));
    if (size > KNOWN_SIZE)
        return encode_short(b, word, size, position, ids);
    struct known *k = known_place(scratch, word, size, key);
    if (memcmp(k->key, key, sizeof key)) {
        MR_TRY(encode_short(b, word, size, position, ids));
        if (ids->count - before <= KNOWN_IDS) {
            memcpy(k->key, key, sizeof key);
            k->count = (uint32_t)(ids->count - before);
            memcpy(k->id, ids->id + before, k->count * sizeof *k->id);
        }
        return 0;
    }
    memcpy(ids->id + before, k->id, sizeof k->id);
    ids->count += k->count;
    return 0;
}

int mr_bpe_encode_words(const struct mr_bpe *b, mr_bpe_scratch *scratch, const char *bytes, size_t size, bool more,
                        uint64_t position, struct mr_ids *ids, size_t *used)
{
    size_t at = 0, n;
    while (at < size && (n = mr_word(bytes + at, size - at, more))) {
        MR_TRY(mr_bpe_encode(b, scratch, bytes + at, n, position + at, ids));
        at += n;
    }
    *used = at;
    return 0;
}
